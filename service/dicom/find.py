"""Query SCP (PS3.4 C.4.1): what is stored, told to a PACS or workstation by C-FIND.

Hierarchical queries at the levels patient, study, series and image. The answers are those of
QIDO-RS, so that both protocols say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset

from models.tags import items, text, texts
from service import audit
from service.dicom import dicom_json, qido
from service.dicom.description import Descriptions, Look
from service.dicom.keywords import STUDY_FILTERS
from service.errors import UsageError
from service.records import StudySummary
from service.store.index import Index

PATIENT_ROOT = "1.2.840.10008.5.1.4.1.2.1.1"
STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.2.1"
LEVELS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        PATIENT_ROOT: ("PATIENT", "STUDY", "SERIES", "IMAGE"),
        STUDY_ROOT: ("STUDY", "SERIES", "IMAGE"),
    }
)
"""The levels of each information model (PS3.4 C.6.1 and C.6.2)."""

MOST_BYTES = 128 << 10  # of an identifier: 2,000 UIDs; 0.3 s for the worst that they can hold
MOST_ITEMS = 100  # of its sequences, which are not matched by
MOST_VALUES = 1000  # of one key
PAGE = 200  # studies looked up at once
_ABOVE = {"SERIES": ("StudyInstanceUID",), "IMAGE": ("StudyInstanceUID", "SeriesInstanceUID")}
_MATCHED = {
    "PATIENT": frozenset({"PatientID", "PatientName"}),
    "STUDY": frozenset({*STUDY_FILTERS, "StudyDate"}),
    "SERIES": frozenset(qido.SERIES_KEYS),
    "IMAGE": frozenset(qido.SERIES_KEYS + qido.INSTANCE_KEYS),
}
_NOT_KEYS = frozenset(
    {"QueryRetrieveLevel", "SpecificCharacterSet", "TimezoneOffsetFromUTC", "RetrieveAETitle"}
)
_PATIENT_KEYS = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex")


@dataclass(frozen=True, slots=True)
class Question:
    """One C-FIND identifier, read.

    Parameters
    ----------
    level : of the answers: PATIENT, STUDY, SERIES or IMAGE.
    wanted : keywords that an answer holds, in the order of the tags.
    matches : values to match by, by keyword; those of the levels above included.
    ignored : keywords with a value by which nothing is matched (PS3.4 C.4.1.1.4: 0xFF01).
    """

    level: str
    wanted: tuple[str, ...]
    matches: Mapping[str, str]
    ignored: tuple[str, ...]

    def query(self, *, below: bool = False) -> qido.Query:
        """The same question as QIDO-RS puts it; `below` without the keys of the levels above."""
        above = _ABOVE.get(self.level, ()) if below else ()
        chosen = {name: value for name, value in self.matches.items() if name not in above}
        return qido.Query(chosen, self.wanted, qido.MAX_RESULTS, 0)


def read(identifier: Dataset, sop_class_uid: str) -> Question:
    """Read an identifier.

    Raises
    ------
    UsageError : it has no level of its information model, lacks a unique key of a level above, or
        has a key of too many values.
    """
    level = text(identifier, "QueryRetrieveLevel").upper()
    if level not in LEVELS.get(sop_class_uid, ()):
        raise UsageError(
            f"expected QueryRetrieveLevel {', '.join(LEVELS.get(sop_class_uid, ()))}, "
            f"found {level[:16]!r}"
        )
    held = [keyword_for_tag(tag) for tag in identifier.keys()]  # noqa: SIM118 - not its values
    keys = {word for word in held if word} - _NOT_KEYS
    said = {key: "\\".join(_values(identifier, key)) for key in keys}
    given = {key: value for key, value in said.items() if value not in ("", "*")}
    for key in _ABOVE.get(level, ()):
        if key not in given or "\\" in given[key] or "*" in given[key]:
            raise UsageError(f"expected one {key} for a query at the level {level}")
    matched = _MATCHED[level] | set(_ABOVE.get(level, ()))
    return Question(
        level=level,
        wanted=tuple(sorted(keys, key=lambda key: dicom_json.tag_of(key) or "")),
        matches={key: value for key, value in given.items() if key in matched},
        ignored=tuple(sorted(given.keys() - matched)),
    )


def _values(identifier: Dataset, key: str) -> list[str]:
    """Values of a key; one in place of a sequence that holds items, by which nothing is matched."""
    if dictionary_VR(key) == "SQ":
        return ["items"] if any(map(len, items(identifier, key))) else []
    found = texts(identifier, key)
    if len(found) > MOST_VALUES:
        raise UsageError(f"expected at most {MOST_VALUES} values of {key}, found {len(found)}")
    return found


class Finder:
    """Answers queries from the index, with the audit of what it tells.

    Parameters
    ----------
    ae_title : where the objects found may be retrieved from.
    """

    def __init__(
        self,
        index: Index,
        descriptions: Descriptions,
        clock: Callable[[], datetime],
        ae_title: str,
    ) -> None:
        self._index = index
        self._descriptions = descriptions
        self._clock = clock
        self._ae_title = ae_title

    def answers(self, question: Question, calling: str, address: str) -> Iterator[Dataset]:
        """Every match, as an identifier with the keys asked for.

        Parameters
        ----------
        calling : AE title that asks, for the audit; `address` its network address.

        Raises
        ------
        UsageError : a value to match by that cannot be, such as a date of letters.
        """
        if question.level in ("PATIENT", "STUDY"):
            found = self._studies(question, calling, address)
        else:
            found = self._below(question, calling, address)
        for described in found:
            yield self._identifier(question, described)

    def _studies(self, question: Question, calling: str, address: str) -> Iterator[dicom_json.Json]:
        told: set[str] = set()
        look = Look(self._descriptions)
        for page in self._pages(question):
            self._audit(question, page, calling, address)
            for one in page:
                if question.level == "STUDY":
                    more = self._example(look, one, question)
                    yield qido.study_json(one, "", more, question.query())
                elif one.patient.patient_id not in told:
                    told.add(one.patient.patient_id)
                    described = qido.study_json(one, "", {}, question.query())
                    kept = {dicom_json.tag_of(key) for key in _PATIENT_KEYS}
                    yield {tag: value for tag, value in described.items() if tag in kept}

    def _pages(self, question: Question) -> Iterator[tuple[StudySummary, ...]]:
        offset = 0
        while True:
            query = qido.Query(question.matches, (), PAGE, offset)
            page = qido.find_studies(self._index, query)
            if page:
                yield page
            if len(page) < PAGE:
                return
            offset += PAGE

    def _below(self, question: Question, calling: str, address: str) -> Iterator[dicom_json.Json]:
        study_uid = question.matches["StudyInstanceUID"]
        study = qido.Query({"StudyInstanceUID": study_uid}, (), 1, 0)
        self._audit(question, qido.find_studies(self._index, study), calling, address)
        held = [
            one
            for one in self._index.instances(study_uid)
            if question.level == "SERIES" or one.series_uid == question.matches["SeriesInstanceUID"]
        ]
        describe = qido.series_json if question.level == "SERIES" else qido.instances_json
        look = Look(self._descriptions)
        yield from describe(held, "", look.known, question.query(below=True))

    def _audit(
        self, question: Question, seen: tuple[StudySummary, ...], calling: str, address: str
    ) -> None:
        """Write down who is told of whom, before anything leaves."""
        events = audit.read_list(
            calling,
            self._clock(),
            address,
            what=f"C-FIND {question.level}",
            count=len(seen),
            patient_ids=(one.patient.patient_id for one in seen),
        )
        self._index.add_audits(events)

    def _example(self, look: Look, summary: StudySummary, question: Question) -> dicom_json.Json:
        """Header of one object of a study, for the keys that the index does not hold."""
        instances = self._index.instances(summary.study.study_uid)
        keywords = (*qido.OF_STUDY, *question.wanted)
        return look.known(instances[0], keywords) if instances else {}

    def _identifier(self, question: Question, described: dicom_json.Json) -> Dataset:
        """The keys asked for, empty where nothing is known (PS3.4 C.2.2.1)."""
        found = Dataset.from_json(described)
        answer = Dataset()
        answer.SpecificCharacterSet = "ISO_IR 192"
        answer.QueryRetrieveLevel = question.level
        answer.RetrieveAETitle = self._ae_title
        for keyword in question.wanted:
            if keyword in found:
                answer[keyword] = found[keyword]
            else:
                setattr(answer, keyword, None)
        return answer
