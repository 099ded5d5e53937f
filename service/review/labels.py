"""Reviews as labels: a table with one row a review, and a table of the masks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from service.records import Review, StudyResult
from service.review.judgement import ENDS

Cell = str | float | bool | None

REVIEW_COLUMNS: dict[str, str] = {
    "review_id": "identifier of the review",
    "study_uid_sha256": "SHA-256 of StudyInstanceUID, hexadecimal",
    "sop_instance_uid_sha256": "SHA-256 of SOPInstanceUID of the film, hexadecimal",
    "patient": "the same for all reviews of one patient in this export: a number, or with "
    "CARINA_EXPORT_SECRET the pseudonym that the films have",
    "reader": "user name, or with --pseudonyms a number in this export",
    "reviewed_at": "when, ISO 8601, UTC",
    "in_force": "false where a later review of the same reader and study supersedes it",
    "model": "versions of the models whose answer the reader saw",
    "status": "ok, or refused where the model declined",
    "reason": "refusal code, empty for ok",
    "comment": "free text of the reader; empty without --comments",
}
for _name, _end in ENDS.items():
    REVIEW_COLUMNS |= {
        f"{_name}_verdict": "accepted, corrected, rejected; empty where not judged",
        f"{_name}_model": f"score of the model, 0-{_end:g}, higher is worse",
        f"{_name}_reader": f"score of the reader, 0-{_end:g}, higher is worse; empty if rejected",
    }

MASK_COLUMNS: dict[str, str] = {
    "review_id": "identifier of the review",
    "sop_instance_uid_sha256": "SHA-256 of SOPInstanceUID of the film, hexadecimal",
    "structure": "one of the twenty structures",
    "mask": "PNG in the pixel grid of the film as it was received: 0 outside, 255 inside",
    "height": "rows of the mask, pixels",
    "width": "columns of the mask, pixels",
    "dice": "overlap with the model's mask, 0-1",
}


@dataclass
class Numbers:
    """Names in the order in which they first came: reviews are append-only, so they stay."""

    prefix: str
    known: dict[str, str] = field(default_factory=dict)

    def __call__(self, name: str) -> str:
        """The number of a name."""
        return self.known.setdefault(name, f"{self.prefix}{len(self.known) + 1:04d}")


def digest(uid: str | None) -> str:
    """SHA-256 of a UID; "" without one."""
    return hashlib.sha256(uid.encode()).hexdigest() if uid else ""


def review_rows(
    reviews: Iterable[Review],
    results: Mapping[str, StudyResult],
    *,
    pseudonyms: bool,
    comments: bool,
    patient: Callable[[str], str] | None = None,
) -> list[dict[str, Cell]]:
    """One row a review, columns as in `REVIEW_COLUMNS`.

    Parameters
    ----------
    reviews : all that were ever kept, in their order: patients and readers are numbered by it.
    results : by `result_id`.
    patient : gives the pseudonym of a patient; None for numbers.
    """
    patients, readers = patient or Numbers("patient-"), Numbers("reader-")
    rows = []
    for one in reviews:
        result = results[one.result_id]
        number = readers(one.reader)
        row: dict[str, Cell] = dict.fromkeys(REVIEW_COLUMNS)
        row |= {
            "review_id": one.review_id,
            "study_uid_sha256": digest(one.study_uid),
            "sop_instance_uid_sha256": digest(one.sop_instance_uid),
            "patient": patients(one.patient_id),
            "reader": number if pseudonyms else one.reader,
            "reviewed_at": one.at.isoformat(),
            "in_force": one.superseded_by is None,
            "model": one.model,
            "status": result.status,
            "reason": result.reason,
            "comment": one.comment if comments else "",
        }
        for score in one.scores:
            row[f"{score.name}_verdict"] = score.verdict
            row[f"{score.name}_model"] = score.said
            row[f"{score.name}_reader"] = score.value
        rows.append(row)
    return rows
