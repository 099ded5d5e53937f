"""QIDO-RS (PS3.18 10.6): studies, series and instances that match a query."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any

from service.dicom import dicom_json
from service.dicom.keywords import STUDY_FILTERS
from service.errors import UsageError
from service.records import Instance, StudyFilter, StudySummary
from service.store.index import Index

MAX_RESULTS = 1000
SERIES_KEYS = ("Modality", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription")
INSTANCE_KEYS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "InstanceNumber",
    "Rows",
    "Columns",
    "BitsAllocated",
    "NumberOfFrames",
)
_OPTIONS = frozenset({"limit", "offset", "includefield", "fuzzymatching"})
_DAY = re.compile(r"\d{8}")

OF_STUDY = ("ReferringPhysicianName", "StudyID")
"""What an answer on a study takes from the header of one of its objects."""

_OF_SERIES = ("SeriesDescription", "SeriesNumber")
_OF_INSTANCE = ("InstanceNumber", "Rows", "Columns", "BitsAllocated", "NumberOfFrames")

Reader = Callable[[Instance, Collection[str]], dicom_json.Json]
"""Object and keywords -> those of its header that are known."""

Describe = Callable[[Iterable[Instance], str, Reader, "Query"], Iterator[dicom_json.Json]]


@dataclass(frozen=True, slots=True)
class Query:
    """What a client asks for, by keyword; "all" in `include` stands for every field."""

    matches: Mapping[str, str]
    include: tuple[str, ...]
    limit: int
    offset: int


def parse(parameters: Iterable[tuple[str, str]]) -> Query:
    """Read the parameters of a query.

    Raises
    ------
    UsageError : an attribute that the dictionary does not know, or a page that is no number.
    """
    matches: dict[str, str] = {}
    include: list[str] = []
    page = {"limit": MAX_RESULTS, "offset": 0}
    for name, value in parameters:
        if name == "includefield":
            include += [_known(field) for field in value.split(",") if field]
        elif name in page:
            if not value.isdecimal() or len(value) > 9:
                raise UsageError(f"expected {name} to be a whole number, found {value[:20]!r}")
            page[name] = int(value)
        elif name not in _OPTIONS:
            matches[_known(name)] = value
    limit = min(page["limit"], MAX_RESULTS)
    return Query(matches, tuple(include), limit, page["offset"])


def find_studies(index: Index, query: Query) -> tuple[StudySummary, ...]:
    """Studies that match, newest first, one page of them.

    Raises
    ------
    UsageError : an attribute that studies are not matched by; ignoring it would answer too much.
    """
    filters = _study_filters(query.matches)
    if len(filters) == 1:
        return index.find_studies(filters[0], query.limit, query.offset)
    found = (study for one in filters for study in index.find_studies(one, MAX_RESULTS))
    return tuple(islice(found, query.offset, query.offset + query.limit))


def study_json(
    summary: StudySummary, base: str, more: dicom_json.Json, query: Query
) -> dicom_json.Json:
    """A study as PS3.18 table 10.6.3-3 asks, with the fields to include from one of its objects."""
    study, patient = summary.study, summary.patient
    acquired = study.acquired_at.astimezone() if study.acquired_at else None
    values: dict[str, object] = {
        "StudyDate": f"{acquired:%Y%m%d}" if acquired else None,
        "StudyTime": f"{acquired:%H%M%S}" if acquired else None,
        "AccessionNumber": study.accession_number,
        "InstanceAvailability": "ONLINE",
        "ModalitiesInStudy": summary.modalities,
        "ReferringPhysicianName": dicom_json.text(more, "ReferringPhysicianName"),
        "StudyDescription": study.description,
        "RetrieveURL": f"{base}/studies/{study.study_uid}",
        "PatientName": patient.name,
        "PatientID": patient.patient_id,
        "PatientBirthDate": f"{patient.birth_date:%Y%m%d}" if patient.birth_date else None,
        "PatientSex": patient.sex,
        "StudyInstanceUID": study.study_uid,
        "StudyID": dicom_json.text(more, "StudyID"),
        "NumberOfStudyRelatedSeries": summary.series_count,
        "NumberOfStudyRelatedInstances": summary.instance_count,
    }
    return _with_fields(dicom_json.of_values(values), more, query)


def series_json(
    instances: Iterable[Instance], base: str, read: Reader, query: Query
) -> Iterator[dicom_json.Json]:
    """Series of one study that match, as PS3.18 table 10.6.3-4 asks."""
    grouped: dict[str, list[Instance]] = {}
    for instance in instances:
        grouped.setdefault(instance.series_uid, []).append(instance)
    for series_uid, members in grouped.items():
        first = members[0]
        more = read(first, (*_OF_SERIES, *query.include))
        values: dict[str, object] = {
            "Modality": first.modality,
            "SeriesDescription": dicom_json.text(more, "SeriesDescription"),
            "RetrieveURL": f"{base}/studies/{first.study_uid}/series/{series_uid}",
            "StudyInstanceUID": first.study_uid,
            "SeriesInstanceUID": series_uid,
            "SeriesNumber": _number(more, "SeriesNumber"),
            "NumberOfSeriesRelatedInstances": len(members),
        }
        if _matches(values, query, SERIES_KEYS):
            yield _with_fields(dicom_json.of_values(values), more, query)


def instances_json(
    instances: Iterable[Instance], base: str, read: Reader, query: Query
) -> Iterator[dicom_json.Json]:
    """Instances that match, as PS3.18 table 10.6.3-5 asks."""
    for instance in instances:
        more = read(instance, (*_OF_INSTANCE, *query.include))
        series = f"{base}/studies/{instance.study_uid}/series/{instance.series_uid}"
        values: dict[str, object] = {
            "SOPClassUID": instance.sop_class_uid,
            "SOPInstanceUID": instance.sop_instance_uid,
            "InstanceAvailability": "ONLINE",
            "AvailableTransferSyntaxUID": instance.transfer_syntax_uid,
            "Modality": instance.modality,
            "RetrieveURL": f"{series}/instances/{instance.sop_instance_uid}",
            "StudyInstanceUID": instance.study_uid,
            "SeriesInstanceUID": instance.series_uid,
        }
        values |= {keyword: _number(more, keyword) for keyword in _OF_INSTANCE}
        if _matches(values, query, SERIES_KEYS + INSTANCE_KEYS):
            yield _with_fields(dicom_json.of_values(values), more, query)


def study_part(query: Query) -> Query:
    """The part of a relational query that speaks of studies: the first page of them."""
    matches = {k: v for k, v in query.matches.items() if k in STUDY_FILTERS or k == "StudyDate"}
    return Query(matches, (), MAX_RESULTS, 0)


def below_study(query: Query) -> Query:
    """The part of a relational query that speaks of series and instances."""
    above = study_part(query).matches
    matches = {k: v for k, v in query.matches.items() if k not in above}
    return Query(matches, query.include, query.limit, query.offset)


def _known(name: str) -> str:
    if name == "all":
        return name
    keyword = dicom_json.keyword_of(name)
    if not keyword:
        raise UsageError(f"expected a DICOM keyword or tag, found {name[:64]!r}")
    return keyword


def _study_filters(matches: Mapping[str, str]) -> list[StudyFilter]:
    """One filter, or one for each UID of a list (PS3.4 C.2.2.2.2)."""
    fields: dict[str, Any] = {}
    for keyword, value in matches.items():
        if keyword == "StudyDate":
            fields["date_from"], fields["date_to"] = _days(value)
        elif keyword in STUDY_FILTERS:
            fields[STUDY_FILTERS[keyword]] = "" if value == "*" else value
        elif value not in ("", "*"):
            raise UsageError(
                f"expected to match studies by {', '.join(STUDY_FILTERS)} or StudyDate, found "
                f"{keyword}; leave it out"
            )
    uids = [uid for uid in re.split(r"[,\\]", fields.pop("study_uid", "")) if uid] or [""]
    return [StudyFilter(**fields, study_uid=uid) for uid in dict.fromkeys(uids)]


def _days(value: str) -> tuple[date | None, date | None]:
    """A day, or a range of days open at either end (PS3.4 C.2.2.2.5)."""
    first, dash, last = value.partition("-")
    return _day(first), _day(last if dash else first)


def _day(text: str) -> date | None:
    if not text:
        return None
    try:
        if _DAY.fullmatch(text):
            return datetime.strptime(text, "%Y%m%d").date()
    except ValueError:
        pass
    raise UsageError(f"expected a day as YYYYMMDD or a range of days, found {text[:20]!r}")


def _matches(values: Mapping[str, object], query: Query, keys: tuple[str, ...]) -> bool:
    for keyword, wanted in query.matches.items():
        if keyword not in keys and wanted not in ("", "*"):
            raise UsageError(
                f"expected to match by {', '.join(keys)}, found {keyword}; leave it out"
            )
        if wanted and not _value_matches(str(values.get(keyword) or ""), wanted):
            return False
    return True


def _value_matches(value: str, wanted: str) -> bool:
    patterns = re.split(r"[,\\]", wanted)
    return any(fnmatchcase(value, pattern.replace("[", "[[]")) for pattern in patterns)


def _number(found: dicom_json.Json, keyword: str) -> int | None:
    value = dicom_json.text(found, keyword)
    return int(value) if re.fullmatch(r"[+-]?\d{1,12}", value) else None


def _with_fields(found: dicom_json.Json, more: dicom_json.Json, query: Query) -> dicom_json.Json:
    """Add the fields to include; bulk data is told of by the metadata alone."""
    wanted = {dicom_json.tag_of(keyword) for keyword in query.include}
    chosen = {
        tag: element
        for tag, element in more.items()
        if ("all" in query.include or tag in wanted) and "BulkDataURI" not in element
    }
    return dict(sorted({**chosen, **found}.items()))
