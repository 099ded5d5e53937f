"""What a PACS was asked for, as the audit tells it: by study alone, whoever it belongs to now.

A study that was retrieved as a prior may come under another Patient ID than the one it was asked
for, or its patient may be merged meanwhile. The audit is never deleted, so that a prior is known
as one for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from service.records import AuditEvent
from service.store.journal import Journal

ACTOR = "priors"
QUERY, RETRIEVE = "query", "retrieve"
Outcome = Literal["success", "failure"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a PACS was asked: about which study, for which patient."""

    patient_id: str
    study_uid: str
    pacs: str

    def event(self, at: datetime, action: str, outcome: Outcome, detail: str) -> AuditEvent:
        """The audit row of it.

        Parameters
        ----------
        action : `QUERY`, for priors of the study, or `RETRIEVE`, of the study itself.
        """
        return AuditEvent(
            at, ACTOR, action, outcome, self.patient_id, self.study_uid, self.pacs, detail
        )


def was_asked(index: Journal, study_uid: str) -> bool:
    """Whether a PACS has answered what priors there are of a study."""
    return _last(index, study_uid, QUERY, "success") is not None


def retrieved(index: Journal, study_uid: str) -> AuditEvent | None:
    """When and for which patient a study was retrieved as a prior; None where it was not."""
    return _last(index, study_uid, RETRIEVE, "success")


def is_known_stranger(index: Journal, study_uid: str) -> bool:
    """Whether it was told already that a PACS answered with this study of another patient."""
    return _last(index, study_uid, RETRIEVE, "failure") is not None


def _last(index: Journal, study_uid: str, action: str, outcome: str) -> AuditEvent | None:
    rows = index.audits(actor=ACTOR, action=action, study_uid=study_uid)
    return next((row for row in rows if row.outcome == outcome), None)
