"""What an administrator meets: a failed study, silent destinations, busy workers, old changes."""

from __future__ import annotations

from datetime import datetime, timedelta

from service.installation import Crew, Queue, Work, Worker
from service.records import AuditEvent, Commitment, Delivery, Instance, Patient, Study, StudyResult
from service.store.index import Index

PACS, ARCHIVE, OLD = "PACS@10.0.0.7:104", "ARCHIVE@10.0.0.8:2762/tls", "GONE@10.0.0.9:104"
BROKEN, PATIENT = "1.2.826.0.2.1", "P-2001"
NO_ANSWER = f"expected {PACS} to answer, found no connection; the object is kept here"
CR = "1.2.840.10008.5.1.4.1.1.1"


def crew(now: datetime) -> Crew:
    """One worker at two jobs, one without, one that is gone."""
    minute = timedelta(minutes=1)
    return Crew(
        (
            Queue("carina-studies", 1, 1, now - 4 * minute),
            Queue("carina-risks"),
            Queue("carina-sends", 0, 1),
        ),
        (
            Worker(
                "node-0",
                True,
                now - timedelta(days=2),
                "",
                (Work("carina_study", now - minute / 3), Work("carina_send", now - 2 * minute)),
            ),
            Worker("node-1", True, now - timedelta(hours=3), "10.0.0.4"),
            Worker("node-2", False, work=(Work("carina_study", now - 8 * minute),)),
        ),
    )


def fill(index: Index, now: datetime) -> None:
    """Add what went wrong to a ward; nobody of it is admitted."""
    event = AuditEvent(now, "test", "receive", "success")
    hour = timedelta(hours=1)
    for name, at in ((BROKEN, now - 5 * hour), ("1.2.826.0.2.2", now - 30 * hour)):
        study = Study(name, PATIENT, at, at)
        index.add_instance(_film(name, at), study, Patient(PATIENT, "Broken^Film"), event)
        result = StudyResult(
            f"result-{name}", name, PATIENT, None, "failed", "internal", "RuntimeError: see it.",
            at, at, revision=1,
        )  # fmt: skip
        index.add_result(result, event)
    waiting = Study("1.2.826.0.2.4", PATIENT, now, now)
    index.add_instance(_film(waiting.study_uid, now), waiting, Patient(PATIENT), event)
    aside = _film(BROKEN, now - 4 * hour, sha256="f" * 64, object_key="aside")
    index.add_instance(aside, Study(BROKEN, PATIENT, now, now), Patient(PATIENT), event)
    for number, (where, state, attempts) in enumerate((
        (PACS, "failed", 100), (PACS, "waiting", 7), (PACS, "waiting", 0),
        (ARCHIVE, "delivered", 1), (OLD, "failed", 100),
    )):  # fmt: skip
        index.add_delivery(
            Delivery(
                f"delivery-{number}", f"result-{BROKEN}", where, f"2.25.{number}", state, attempts,  # type: ignore[arg-type]  # of the table
                now - (6 - number) * hour / 2, NO_ANSWER if attempts > 1 else "",
            )
        )  # fmt: skip
    references = ((CR, f"{BROKEN}.1"),)
    index.add_commitment(
        Commitment("2.25.900", "MODALITY", references, "failed", 100, now - hour, "no answer"),
        event,
    )
    index.add_commitment(
        Commitment("2.25.901", "MODALITY", references, "reported", 1, now - hour), event
    )
    gone = Study("1.2.826.0.2.3", "P-2002", now, now)
    index.add_instance(_film(gone.study_uid, now - hour), gone, Patient("P-2002"), event)
    index.delete_study(gone.study_uid, "sent by mistake", event)


def _film(study_uid: str, at: datetime, sha256: str = "e" * 64, object_key: str = "") -> Instance:
    return Instance(
        f"{study_uid}.1", CR, f"{study_uid}.9", study_uid, "1.2.840.10008.1.2.1",
        object_key or f"k{study_uid}", sha256, 9_400_000, at, "c-store:MOD", "CR",
    )  # fmt: skip
