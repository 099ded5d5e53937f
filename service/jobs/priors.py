"""Priors pulled from a PACS: asked for once a film is scored, and taken in as any other film.

The current score never waits for it. What comes amends the result by the same way as a prior that
is sent late. Whether a study was asked for, or is itself a pulled prior, is looked up by its UID
alone (`store/retrievals.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

import structlog
from pydicom.tag import Tag

from service import metrics
from service.dicom import dicom_json
from service.dicom.description import Descriptions
from service.dicom.pacs import (
    MOST_FILMS,
    OfferedFilm,
    OfferedStudy,
    Pacs,
    Question,
    check_key,
    earlier_films,
    is_same_patient,
    is_web,
    may_be_chest,
)
from service.errors import (
    CarinaError,
    DeliveryError,
    InvalidObjectError,
    NotFoundError,
    TooLargeError,
    UsageError,
)
from service.jobs import neighbours
from service.jobs.pipeline import log_failure
from service.records import Study, StudyResult
from service.settings import Settings
from service.store import retrievals
from service.store.index import Index

if TYPE_CHECKING:
    from ssl import SSLContext

MOST_LOOKED_AT = 20  # studies: not every CR is of the chest
MOST_ATTEMPTS = 30  # with waits of at most an hour: about a day
_WHO = (int(Tag("PatientID")), int(Tag("IssuerOfPatientID")))
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Puller:
    """How priors come in: who is asked, for how many and how old ones, and who takes them.

    Parameters
    ----------
    take : takes one DICOM file in; raises a CarinaError where it cannot be kept.
    most : so many priors are enough.
    days : older ones are not asked for.
    """

    pacs: Pacs
    take: Callable[[bytes], None]
    most: int
    days: int


def is_due(study_uid: str, index: Index, settings: Settings) -> bool:
    """Whether the priors of a study are to be asked for.

    They are where a PACS is set, a film of the study was accepted, too few priors are known, and
    the study was neither asked for before nor is a pulled prior itself.
    """
    if not settings.priors_pacs:
        return False
    study = _accepted(study_uid, index)
    return (
        study is not None
        and len(_known(study, index)) < settings.priors_most
        and not retrievals.was_asked(index, study_uid)
        and retrievals.retrieved(index, study_uid) is None
    )


def pull(
    study_uid: str, index: Index, descriptions: Descriptions, puller: Puller, now: datetime
) -> None:
    """Ask for the priors of a study and take them in; what is here already is not asked for again.

    One prior that cannot be retrieved does not hold up the others.

    Parameters
    ----------
    descriptions : reads the film's header, which says who is to be asked for.

    Raises
    ------
    DeliveryError : the PACS is away, or did not give all; try again later.
    UsageError : this patient cannot be asked for.
    InvalidObjectError, NotFoundError : the film's header cannot be read, or was deleted.
    """
    study = _accepted(study_uid, index)
    if study is None:  # deleted meanwhile, or its film refused
        return
    question = _question(study, index, descriptions, puller.days)
    visit = _Visit(study, index, puller, now)
    if not question.patient_id:
        visit.done(0)
        return
    check_key(question.patient_id)
    offered = puller.pacs.studies(question)
    visit.tell_strangers(one for one in offered if not is_same_patient(one, question))
    visit.done(visit.bring(earlier_films(offered, question)))


@dataclass(frozen=True, slots=True)
class _Visit:
    """One attempt for one study."""

    study: Study
    index: Index
    puller: Puller
    now: datetime

    def tell(
        self, study_uid: str, action: str, detail: str, outcome: retrievals.Outcome = "success"
    ) -> None:
        """Write into the audit what was done for the patient."""
        asked = retrievals.Asked(self.study.patient_id, study_uid, self.puller.pacs.name)
        self.index.add_audit(asked.event(self.now, action, outcome, detail))

    def done(self, count: int) -> None:
        """Note that nothing is left to ask for; the study is not asked for again."""
        what = f"{count} earlier studies retrieved"
        self.tell(self.study.study_uid, retrievals.QUERY, what)
        metrics.PRIORS.labels("retrieved" if count else "none").inc()
        _log.info("priors asked for", studies=count)

    def tell_strangers(self, offered: Iterable[OfferedStudy]) -> None:
        """Audit answers of another patient, each study once; they are not retrieved."""
        for uid in sorted({one.study_uid for one in offered}):
            if not retrievals.is_known_stranger(self.index, uid):
                why = "offered, not retrieved: of another patient than the one asked for"
                self.tell(uid, retrievals.RETRIEVE, why, "failure")

    def bring(self, offered: Sequence[OfferedStudy]) -> int:
        """Retrieve the newest of them until there are enough priors; how many it were.

        Raises
        ------
        DeliveryError : one of them did not come; the others did.
        """
        known = _known(self.study, self.index)
        count, troubles = 0, list[str]()
        for prior in offered[:MOST_LOOKED_AT]:
            if count >= self.puller.most - len(known):
                break
            if prior.study_uid in known or not _may_come(prior.study_uid, self.index):
                continue
            try:
                count += self._bring_one(prior.study_uid)
            except (DeliveryError, InvalidObjectError, TooLargeError) as error:
                troubles.append(error.message)
                count += 1  # its place is kept: it is tried again
        if troubles:
            raise DeliveryError(troubles[0])
        return count

    def _bring_one(self, prior_uid: str) -> bool:
        """Retrieve the chest films of a study that are not here; whether it has any."""
        pacs = self.puller.pacs
        films = _films(prior_uid, pacs)
        if not films:
            return False
        before = retrievals.retrieved(self.index, prior_uid)
        if before is None or before.patient_id != self.study.patient_id:
            # Before the first film comes: it is a pulled prior for ever.
            self.tell(prior_uid, retrievals.RETRIEVE, f"{len(films)} films of a prior")
        held = self.index.held([film.sop_instance_uid for film in films])
        missing = [film for film in films if film.sop_instance_uid not in held]
        for _, series in groupby(missing, key=lambda film: film.series_uid):
            pacs.retrieve(list(series), self.puller.take)
        _insist_on_all(films, self.index, pacs.name)
        return True


def attempt_failed(
    study_uid: str, index: Index, pacs: str, now: datetime, *, attempts: int, error: CarinaError
) -> bool:
    """Note an attempt in vain; whether it is given up, which the audit says."""
    given_up = attempts >= MOST_ATTEMPTS or isinstance(error, UsageError)
    _log.warning("priors failed", attempts=attempts, given_up=given_up, why=error.message)
    if given_up:
        give_up(study_uid, index, pacs, now, error.message)
    else:
        metrics.PRIORS.labels("waiting").inc()
    return given_up


def give_up(study_uid: str, index: Index, pacs: str, now: datetime, why: str) -> None:
    """Write down that the priors of a study are not asked for any more; its next result may."""
    metrics.PRIORS.labels("failed").inc()
    try:
        patient_id = index.study(study_uid).patient_id
    except NotFoundError:  # deleted meanwhile
        return
    asked = retrievals.Asked(patient_id, study_uid, pacs)
    index.add_audit(asked.event(now, retrievals.QUERY, "failure", f"given up: {why}"))


def plainly(error: Exception, study: str) -> CarinaError:
    """An error of any kind as one that can be told; its words may quote the patient's data."""
    if isinstance(error, CarinaError):
        return error
    log_failure("pull broke", error, study=study)
    return DeliveryError(f"Unexpected {type(error).__name__}: see the log.")


def _accepted(study_uid: str, index: Index) -> Study | None:
    """The study, where the result in force is of an accepted film."""
    result = index.current_result(study_uid)
    if result is None or result.status != "ok" or result.sop_instance_uid is None:
        return None
    try:
        return index.study(study_uid)
    except NotFoundError:
        return None


def _known(study: Study, index: Index) -> frozenset[str]:
    """The earlier studies of the patient that were scored."""
    return frozenset(one.study_uid for one in neighbours.priors(index, study))


def _question(study: Study, index: Index, descriptions: Descriptions, days: int) -> Question:
    """What is asked: by the identifier on the film itself, which the PACS knows it by."""
    result = index.current_result(study.study_uid)
    header = descriptions.of(index.instance(_film_of(result)), _WHO)
    taken_at = study.acquired_at or study.received_at
    return Question(
        patient_id=dicom_json.text(header, "PatientID"),
        issuer=dicom_json.text(header, "IssuerOfPatientID"),
        study_uid=study.study_uid,
        taken_on=taken_at.astimezone().date(),  # the PACS tells days of the same hospital
        days=days,
    )


def _film_of(result: StudyResult | None) -> str:
    if result is None or result.sop_instance_uid is None:
        raise NotFoundError("expected an accepted film of the study, found none: it was deleted")
    return result.sop_instance_uid


def _may_come(study_uid: str, index: Index) -> bool:
    """Whether a study may be retrieved: not deleted here, and not here by another way."""
    if index.was_deleted(study_uid):
        return False
    try:
        index.study(study_uid)
    except NotFoundError:
        return True
    return retrievals.retrieved(index, study_uid) is not None


def _films(study_uid: str, pacs: Pacs) -> tuple[OfferedFilm, ...]:
    """The films of a study that may be of the chest."""
    chest = [one for one in pacs.series(study_uid) if may_be_chest(one)]
    films = [film for one in chest for film in pacs.films(study_uid, one.series_uid)]
    return tuple(films[:MOST_FILMS])


def _insist_on_all(films: tuple[OfferedFilm, ...], index: Index, pacs: str) -> None:
    uids = {film.sop_instance_uid for film in films}
    missing = uids - index.held(sorted(uids))
    if missing:
        raise DeliveryError(
            f"expected {len(uids)} films of {pacs}, found {len(missing)} of them not arrived; "
            "check where it sends them to"
        )


def check_pacs(settings: Settings) -> None:
    """Look at the address of the PACS before it is asked.

    Raises
    ------
    UsageError : it has another form, or its TLS cannot be set up.
    """
    _tls(settings)


def _tls(settings: Settings) -> SSLContext | None:
    """How TLS is spoken to the PACS; None where it is not."""
    from service.dicom import deliver, tls  # noqa: PLC0415  # pynetdicom is slow

    address = settings.priors_pacs
    if is_web(address):
        return tls.of_destination(settings) if address.startswith("https:") else None
    secured = bool(address) and deliver.parse_destination(address).tls
    return tls.of_destination(settings) if secured else None


def default_pacs(settings: Settings) -> Pacs:
    """The PACS of the settings, by DICOMweb or by C-FIND and C-MOVE."""
    from service.dicom.pacs_dimse import DimsePacs  # noqa: PLC0415  # as above
    from service.dicom.pacs_web import WebPacs  # noqa: PLC0415

    if not is_web(settings.priors_pacs):
        return DimsePacs(settings.priors_pacs, settings.ae_title, _tls(settings))
    secret = settings.priors_authorization
    return WebPacs(
        settings.priors_pacs,
        secret.get_secret_value() if secret else "",
        settings.max_object_mb << 20,
        _tls(settings),
    )
