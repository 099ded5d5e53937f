"""What is asked of a PACS for a patient's earlier chest films, and what of its answers is used.

An answer is a claim of another system: it is compared with the question here, whatever keys that
system says it matched by. `pacs_dimse.py` and `pacs_web.py` ask.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol

from service.errors import UsageError

MODALITIES = frozenset({"CR", "DX"})
MOST_ANSWERS = 500  # entries of one answer; a patient has fewer chest films within years
MOST_FILMS = 20  # of one study
_NOT_A_KEY = re.compile(r"[*?\\\x00-\x1f]")  # PS3.4 C.2.2.2: would match other patients as well


@dataclass(frozen=True, slots=True)
class Question:
    """The films of one patient in the days before a study.

    Films of the same day are left out: they may be newer, or on their way here by themselves.

    Parameters
    ----------
    issuer : Issuer of Patient ID as the film states it; "" where it does not.
    study_uid, taken_on : of the study that has no prior yet.
    """

    patient_id: str
    issuer: str
    study_uid: str
    taken_on: date
    days: int

    @property
    def since(self) -> date:
        """The first day that is asked for."""
        return self._before(self.days)

    @property
    def until(self) -> date:
        """The last day that is asked for."""
        return self._before(1)

    @property
    def range(self) -> str:
        """Both as a DICOM date range (PS3.4 C.2.2.2.5)."""
        return "-".join(day.isoformat().replace("-", "") for day in (self.since, self.until))

    def _before(self, days: int) -> date:
        return self.taken_on - timedelta(days=min(days, self.taken_on.toordinal() - 1))


@dataclass(frozen=True, slots=True)
class OfferedStudy:
    """A study that a PACS has; empty where it does not say."""

    study_uid: str
    patient_id: str
    issuer: str = ""
    taken_on: date | None = None
    modalities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OfferedSeries:
    """A series that a PACS has."""

    series_uid: str
    modality: str
    body_part: str = ""


@dataclass(frozen=True, slots=True)
class OfferedFilm:
    """An image of a series that is to be retrieved."""

    study_uid: str
    series_uid: str
    sop_instance_uid: str


Take = Callable[[bytes], None]
"""Takes one DICOM file in, as any other film."""


class Pacs(Protocol):
    """A PACS that may be asked.

    Raises
    ------
    DeliveryError : from any method; it is away, refuses or answers something else. Try again later.
    """

    @property
    def name(self) -> str:
        """Its address as in the settings; no password is in it."""
        ...

    def studies(self, question: Question) -> tuple[OfferedStudy, ...]:
        """The studies that match, at most `MOST_ANSWERS`."""
        ...

    def series(self, study_uid: str) -> tuple[OfferedSeries, ...]:
        """The series of a study."""
        ...

    def films(self, study_uid: str, series_uid: str) -> tuple[OfferedFilm, ...]:
        """The images of a series."""
        ...

    def retrieve(self, films: Sequence[OfferedFilm], take: Take) -> None:
        """Get images of one series: they come to `take`, or to our DICOM port, before it ends."""
        ...


def check_key(patient_id: str) -> None:
    """Insist on a Patient ID that can be asked for without matching anybody else.

    Raises
    ------
    UsageError : it is empty, or holds a wildcard.
    """
    if not patient_id or len(patient_id) > 64 or _NOT_A_KEY.search(patient_id):
        raise UsageError(
            "expected a Patient ID that can be asked for, found one with *, ? or \\, or too long; "
            "its priors must be sent by hand"
        )


def is_same_patient(offered: OfferedStudy, question: Question) -> bool:
    """Whether an answer speaks of the patient that was asked for; an issuer must not differ."""
    issuers = {offered.issuer, question.issuer} - {""}
    return offered.patient_id == question.patient_id and len(issuers) <= 1


def earlier_films(offered: Iterable[OfferedStudy], question: Question) -> tuple[OfferedStudy, ...]:
    """The patient's studies that may hold an earlier chest film, newest first, each once.

    A study that tells no modality or no day is looked at as well, last.
    """
    found = {
        one.study_uid: one
        for one in offered
        if is_same_patient(one, question)
        and one.study_uid != question.study_uid
        and (not one.modalities or MODALITIES & set(one.modalities))
        and (one.taken_on is None or question.since <= one.taken_on <= question.until)
    }
    return tuple(sorted(found.values(), key=lambda one: one.taken_on or date.min, reverse=True))


def may_be_chest(series: OfferedSeries) -> bool:
    """Whether a series is worth retrieving: radiographs, and no other body part is named."""
    from models.quality.kinds import is_elsewhere  # noqa: PLC0415  # loads a network

    return series.modality in MODALITIES and not is_elsewhere(series.body_part)


def is_web(address: str) -> bool:
    """Whether an address is one of DICOMweb; the settings refuse one that is half of it."""
    return "://" in address
