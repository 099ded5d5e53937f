"""A PACS asked by QIDO-RS, whose films come by WADO-RS (PS3.18 10.6 and 10.4).

What it answers is bounded in bytes and time and checked before it is used; addresses in its
answers are not followed, nor is it where it redirects to.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from service.dicom import dicom_json, keywords, multipart
from service.dicom.header import read_file_header, with_preamble
from service.dicom.pacs import (
    MOST_ANSWERS,
    OfferedFilm,
    OfferedSeries,
    OfferedStudy,
    Question,
    Take,
)
from service.errors import DeliveryError, InvalidObjectError, TooLargeError, UsageError

CONNECT_TIMEOUT_S = 10.0
SILENCE_TIMEOUT_S = 60.0
LIMIT_S = 300.0  # one answer or one film on its way
MOST_ANSWER_BYTES = 8 << 20
_OVERHEAD_BYTES = 1 << 20  # of a multipart message around its one part
FILM_TYPE = 'multipart/related; type="application/dicom"; transfer-syntax=*'


class _Element(BaseModel):
    """One attribute of DICOM JSON (PS3.18 F.2)."""

    Value: list[Any] = []


_Matches = TypeAdapter(list[dict[str, _Element]])
_Match = Mapping[str, _Element]


@dataclass(frozen=True, slots=True)
class WebPacs:
    """A DICOMweb origin server.

    Parameters
    ----------
    name : its base address, `https://host/path`.
    authorization : the header of that name; "" where it asks for none.
    max_object_bytes : a larger film is not taken.
    tls : how its certificate is checked; None where the address is plain http.
    """

    name: str
    authorization: str = ""
    max_object_bytes: int = 512 << 20
    tls: ssl.SSLContext | None = None
    limit_s: float = LIMIT_S

    def studies(self, question: Question) -> tuple[OfferedStudy, ...]:
        """The studies of a patient within the days."""
        asked = {
            "PatientID": question.patient_id,
            "StudyDate": question.range,
            "includefield": "IssuerOfPatientID",
            "limit": str(MOST_ANSWERS),
        }
        return tuple(
            OfferedStudy(
                study_uid=_uid(found, "StudyInstanceUID"),
                patient_id=_text(found, "PatientID"),
                issuer=_text(found, "IssuerOfPatientID"),
                taken_on=keywords.day_of(_text(found, "StudyDate")),
                modalities=_texts(found, "ModalitiesInStudy"),
            )
            for found in self._search("studies", asked)
        )

    def series(self, study_uid: str) -> tuple[OfferedSeries, ...]:
        """The series of a study."""
        asked = {"includefield": "BodyPartExamined"}
        return tuple(
            OfferedSeries(
                _uid(found, "SeriesInstanceUID"),
                _text(found, "Modality"),
                _text(found, "BodyPartExamined"),
            )
            for found in self._search(f"studies/{quote(study_uid)}/series", asked)
        )

    def films(self, study_uid: str, series_uid: str) -> tuple[OfferedFilm, ...]:
        """The images of a series."""
        path = f"studies/{quote(study_uid)}/series/{quote(series_uid)}/instances"
        return tuple(
            OfferedFilm(study_uid, series_uid, _uid(found, "SOPInstanceUID"))
            for found in self._search(path, {})
        )

    def retrieve(self, films: Sequence[OfferedFilm], take: Take) -> None:
        """Get films one by one, so that one alone is held in memory."""
        for film in films:
            for data in self._film(film):
                _check_identity(data, film)
                take(data)

    def _search(self, path: str, asked: Mapping[str, str]) -> list[dict[str, _Element]]:
        answer = bytearray()
        with self._answer(path, dicom_json.MEDIA_TYPE, asked) as (status, _, chunks):
            for chunk in chunks:
                answer += chunk
                if len(answer) > MOST_ANSWER_BYTES:
                    raise DeliveryError(
                        f"expected an answer of at most {MOST_ANSWER_BYTES >> 20} MB of "
                        f"{self.name}, found more"
                    )
        if status == httpx.codes.NO_CONTENT or not answer.strip():
            return []
        try:
            found = _Matches.validate_json(bytes(answer))
        except ValidationError as error:  # its words quote what was sent
            raise DeliveryError(
                f"expected DICOM JSON from {self.name}, found {error.error_count()} faults in it"
            ) from None
        if len(found) > MOST_ANSWERS:
            raise DeliveryError(f"expected at most {MOST_ANSWERS} answers of {self.name}")
        return found

    def _film(self, film: OfferedFilm) -> list[bytes]:
        path = (
            f"studies/{quote(film.study_uid)}/series/{quote(film.series_uid)}"
            f"/instances/{quote(film.sop_instance_uid)}"
        )
        parts: list[bytes] = []
        received = 0
        with self._answer(path, FILM_TYPE, {}) as (_, kind, chunks):
            try:
                reader = multipart.Reader(multipart.boundary_of(kind), self.max_object_bytes)
                for chunk in chunks:
                    received += len(chunk)
                    if received > self.max_object_bytes + _OVERHEAD_BYTES:
                        raise DeliveryError(
                            f"expected one film of {self.name}, found more than "
                            "CARINA_MAX_OBJECT_MB"
                        )
                    parts += reader.feed(chunk)
                parts += reader.finish()
            except (UsageError, TooLargeError) as error:
                raise DeliveryError(f"of {self.name}: {error.message}") from error
        if not parts:
            raise DeliveryError(f"expected a film of {self.name}, found an answer without one")
        return parts

    @contextmanager
    def _answer(
        self, path: str, accept: str, asked: Mapping[str, str]
    ) -> Iterator[tuple[int, str, Iterator[bytes]]]:
        """Ask, and give status, content type and bytes of the answer.

        Raises
        ------
        DeliveryError : nobody answers, not in time, or not with success.
        """
        headers = {"Accept": accept, "Accept-Encoding": "identity"}  # bytes are counted as sent
        if self.authorization:
            headers["Authorization"] = self.authorization
        timeout = httpx.Timeout(SILENCE_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        address = f"{self.name.rstrip('/')}/{path}"
        try:
            with (
                httpx.Client(timeout=timeout, trust_env=False, verify=self.tls or False) as client,
                client.stream("GET", address, params=dict(asked), headers=headers) as answer,
            ):
                if not answer.is_success:
                    raise DeliveryError(
                        f"expected {self.name} to answer, found status {answer.status_code}; "
                        "check the address and CARINA_PRIORS_AUTHORIZATION"
                    )
                kind = answer.headers.get("content-type", "")
                yield answer.status_code, kind, self._in_time(answer.iter_raw())
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise DeliveryError(
                f"expected an answer from {self.name}, found {type(error).__name__}; check the "
                "address and the network"
            ) from error

    def _in_time(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Bytes as they come; a server that never comes to an end is given up."""
        end = time.monotonic() + self.limit_s
        for chunk in chunks:
            if time.monotonic() > end:
                raise DeliveryError(
                    f"expected {self.name} to finish within {self.limit_s:.0f} s, found it going on"
                )
            yield chunk


def _check_identity(data: bytes, film: OfferedFilm) -> None:
    """Insist on the film that was asked for; another one would not be known as a prior."""
    try:
        header = read_file_header(with_preamble(data))
    except InvalidObjectError as error:
        raise DeliveryError(f"expected a film from the PACS: {error.message}") from error
    found = header["StudyInstanceUID"], header["SOPInstanceUID"]
    if found != (film.study_uid, film.sop_instance_uid):
        raise DeliveryError("expected the film that was asked for, found another one")


def _texts(found: _Match, keyword: str) -> tuple[str, ...]:
    """The values of an attribute that are text or a number."""
    element = found.get(dicom_json.tag_of(keyword) or "", _Element())
    values = (str(one).strip() for one in element.Value if isinstance(one, str | int))
    return tuple(filter(None, values))


def _text(found: _Match, keyword: str) -> str:
    return next(iter(_texts(found, keyword)), "")


def _uid(found: _Match, keyword: str) -> str:
    uid = _text(found, keyword)
    if not keywords.is_uid(uid):
        raise DeliveryError(f"expected {keyword} in each answer to a query, found none in one")
    return uid
