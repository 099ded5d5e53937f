"""A PACS asked by C-FIND, which sends the films to our own DICOM port on a C-MOVE (PS3.4 C)."""

from __future__ import annotations

import ssl
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from models.tags import text, texts, whole
from service.dicom import deliver, keywords
from service.dicom.pacs import (
    MOST_ANSWERS,
    OfferedFilm,
    OfferedSeries,
    OfferedStudy,
    Question,
    Take,
)
from service.errors import DeliveryError

FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")  # Study Root Query/Retrieve, PS3.4 C.6.2
MOVE = UID("1.2.840.10008.5.1.4.1.2.2.2")
TRANSFER_SYNTAXES = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
LIMIT_S = 300.0  # one question, or one series on its way
_PENDING = (0xFF00, 0xFF01)
_UNKNOWN_DESTINATION = 0xA801  # PS3.4 C.4.2.1.5


@dataclass(frozen=True, slots=True)
class DimsePacs:
    """A DICOM node with query and retrieve.

    Parameters
    ----------
    name : `AETITLE@host:port`, with `/tls` behind it for TLS.
    own_ae : our AE title: it asks, and the films are moved to it.
    """

    name: str
    own_ae: str
    tls: ssl.SSLContext | None = None
    limit_s: float = LIMIT_S

    def studies(self, question: Question) -> tuple[OfferedStudy, ...]:
        """The studies of a patient within the days (C-FIND, level STUDY)."""
        asked = _identifier(
            "STUDY",
            PatientID=question.patient_id,
            StudyDate=question.range,
            IssuerOfPatientID="",  # not all match by it: compared with the answer instead
            ModalitiesInStudy="",
            StudyInstanceUID="",
        )
        return tuple(
            OfferedStudy(
                study_uid=_uid(found, "StudyInstanceUID"),
                patient_id=text(found, "PatientID"),
                issuer=text(found, "IssuerOfPatientID"),
                taken_on=keywords.day_of(text(found, "StudyDate")),
                modalities=tuple(filter(None, texts(found, "ModalitiesInStudy"))),
            )
            for found in self._find(asked)
        )

    def series(self, study_uid: str) -> tuple[OfferedSeries, ...]:
        """The series of a study (C-FIND, level SERIES)."""
        asked = _identifier(
            "SERIES", StudyInstanceUID=study_uid, SeriesInstanceUID="", Modality="",
            BodyPartExamined="",
        )  # fmt: skip
        return tuple(
            OfferedSeries(
                _uid(found, "SeriesInstanceUID"),
                text(found, "Modality"),
                text(found, "BodyPartExamined"),
            )
            for found in self._find(asked)
        )

    def films(self, study_uid: str, series_uid: str) -> tuple[OfferedFilm, ...]:
        """The images of a series (C-FIND, level IMAGE)."""
        asked = _identifier(
            "IMAGE", StudyInstanceUID=study_uid, SeriesInstanceUID=series_uid, SOPInstanceUID=""
        )
        return tuple(
            OfferedFilm(study_uid, series_uid, _uid(found, "SOPInstanceUID"))
            for found in self._find(asked)
        )

    def retrieve(self, films: Sequence[OfferedFilm], _take: Take) -> None:
        """Have images of one series sent to our own port (C-MOVE, level IMAGE)."""
        asked = _identifier(
            "IMAGE",
            StudyInstanceUID=films[0].study_uid,
            SeriesInstanceUID=films[0].series_uid,
            SOPInstanceUID=[film.sop_instance_uid for film in films],
        )
        with self._association(MOVE) as assoc:
            answers = self._in_time(assoc, assoc.send_c_move(asked, self.own_ae, MOVE))
            final = deque((answer for answer, _ in answers), maxlen=1)
        last = final[0] if final else Dataset()
        status = last.get("Status")
        if status != 0x0000 or whole(last, "NumberOfFailedSuboperations"):
            raise DeliveryError(self._why_not_moved(last))

    def _find(self, asked: Dataset) -> list[Dataset]:
        found: list[Dataset] = []
        with self._association(FIND) as assoc:
            for answer, match in self._in_time(assoc, assoc.send_c_find(asked, FIND)):
                if answer.get("Status") in _PENDING and match is not None:
                    found.append(match)
                    if len(found) > MOST_ANSWERS:
                        assoc.abort()
                        raise DeliveryError(
                            f"expected at most {MOST_ANSWERS} answers of {self.name}, found more"
                        )
                elif answer.get("Status") != 0x0000:
                    raise DeliveryError(
                        f"expected {self.name} to answer a query, found {_said(answer)}"
                    )
        return found

    def _association(self, sop_class: UID) -> AbstractContextManager[Association]:
        context = build_context(sop_class, list(TRANSFER_SYNTAXES))
        return deliver.association(self.name, context, self.own_ae, self.tls)

    def _in_time(
        self, assoc: Association, answers: Iterator[tuple[Dataset, Dataset | None]]
    ) -> Iterator[tuple[Dataset, Dataset | None]]:
        """Answers as they come; a node that never comes to an end is given up."""
        end = time.monotonic() + self.limit_s
        for answer in answers:
            yield answer
            if time.monotonic() > end:
                assoc.abort()
                raise DeliveryError(
                    f"expected {self.name} to finish within {self.limit_s:.0f} s, found it going on"
                )

    def _why_not_moved(self, last: Dataset) -> str:
        if last.get("Status") == _UNKNOWN_DESTINATION:
            return (
                f"expected {self.name} to know {self.own_ae}, found that it does not; enter it "
                "there with our host and DICOM port"
            )
        return (
            f"expected {self.name} to send films to {self.own_ae}, found {_said(last)}; check that "
            "it reaches our DICOM port, and that CARINA_ALLOWED_AE_TITLES lets it in"
        )


def _identifier(level: str, **keys: object) -> Dataset:
    ds = Dataset()
    ds.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(ds, keyword, value)
    if not str(keys.get("PatientID", "")).isascii():
        ds.SpecificCharacterSet = "ISO_IR 192"
    return ds


def _uid(found: Dataset, keyword: str) -> str:
    uid = text(found, keyword)
    if not keywords.is_uid(uid):
        raise DeliveryError(f"expected {keyword} in each answer to a query, found none in one")
    return uid


def _said(answer: Dataset) -> str:
    """Status of an answer, for a message; its comment may quote the patient's data."""
    if "Status" not in answer:
        return "the association broken"
    failed = whole(answer, "NumberOfFailedSuboperations")
    return f"status 0x{answer.Status:04X}" + (f" and {failed} of them failed" if failed else "")
