"""Answers to storage commitments, tried until the node takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from service.errors import DeliveryError, OutOfResourcesError
from service.jobs.delivery import TAKEN_FOR, failed
from service.jobs.pipeline import log_failure
from service.records import Commitment
from service.store.index import Index
from service.store.objects import ObjectStore

Report = Callable[[Commitment, Mapping[str, str]], None]


def report_due(index: Index, objects: ObjectStore, report: Report, now: datetime) -> int:
    """Answer what is due once; how many nodes took their answer.

    The sender may delete what is said to be kept: so the bytes are looked for as well.
    """
    reported = 0
    for question in index.take_commitments(now, now + TAKEN_FOR):
        known = index.kept_classes([uid for _, uid in question.references])
        kept = {uid: kind for uid, (kind, key) in known.items() if objects.holds(key)}
        tried = _try(
            replace(question, attempts=question.attempts + 1, updated_at=now), kept, report
        )
        index.set_commitment(tried)
        reported += tried.state == "reported"
    return reported


def _try(question: Commitment, kept: Mapping[str, str], report: Report) -> Commitment:
    try:
        report(question, kept)
    except OutOfResourcesError:
        raise
    except DeliveryError as error:
        return failed(question, error.message, "commitment failed")
    except Exception as error:  # noqa: BLE001  # one node that breaks never holds up the others
        log_failure("commitment broke", error)
        told = f"Unexpected {type(error).__name__}: see the log."
        return failed(question, told, "commitment failed")
    return replace(question, state="reported", message="")
