"""From DICOM keywords to our field names: records of what came in, and what is searched by."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, date, datetime, timedelta, timezone
from types import MappingProxyType

from service.dicom.header import Header
from service.errors import InvalidObjectError
from service.records import Instance, Patient, Study

STUDY_FILTERS = MappingProxyType(
    {
        "PatientID": "patient_id",
        "PatientName": "patient_name",
        "StudyInstanceUID": "study_uid",
        "AccessionNumber": "accession_number",
        "StudyDescription": "description",
        "ModalitiesInStudy": "modality",
    }
)
"""What studies are searched by: keyword to field of `StudyFilter`. Days come on top."""

# PS3.5 9.1 allows digits and dots, 64 at most. Senders exist that use letters, dashes and empty
# components; a UID never becomes a path here, so those do no harm. Anything else is refused.
_UID = re.compile(r"(?=.*[0-9A-Za-z])[0-9A-Za-z._-]{1,64}")
_OFFSET = re.compile(r"([+-])(\d{2})(\d{2})")
_DAY = re.compile(r"(\d{4})[.-]?(\d{2})[.-]?(\d{2})")  # PS3.5 6.2: the dotted form is from ACR-NEMA
_CLOCK = re.compile(r"(\d{2}):?(\d{2})?:?(\d{2})?")
_SEXES = frozenset({"M", "F", "O"})


def is_uid(value: str) -> bool:
    """Whether a text is a UID by the widest reading; such a text never leads out of a path."""
    return _UID.fullmatch(value) is not None


def uid(header: Header, keyword: str) -> str:
    """A UID that an object cannot be kept without.

    Raises
    ------
    InvalidObjectError : it is absent, or no UID by the widest reading.
    """
    value = header[keyword]
    if not value:
        raise InvalidObjectError(f"expected {keyword}, found none; correct it at the sender")
    if not is_uid(value):
        raise InvalidObjectError(
            f"expected {keyword} of at most 64 digits and dots, found other characters or "
            f"{len(value)} of them; correct it at the sender"
        )
    return value


def patient_of(header: Header) -> Patient:
    """The patient of an object.

    Patient ID is type 2: senders leave it empty for unknown patients. Each such study becomes a
    patient of its own, so that two unknown people are never taken for one.
    """
    sex = header["PatientSex"].upper()[:1]
    return Patient(
        patient_id=header["PatientID"] or _unknown_patient(uid(header, "StudyInstanceUID")),
        name=header["PatientName"],
        birth_date=day_of(header["PatientBirthDate"]),
        sex=sex if sex in _SEXES else "",
    )


def study_of(header: Header, received_at: datetime, referring_ae: str) -> Study:
    """The study of an object."""
    return Study(
        study_uid=uid(header, "StudyInstanceUID"),
        patient_id=patient_of(header).patient_id,
        acquired_at=acquired_at(header),
        received_at=received_at,
        accession_number=header["AccessionNumber"],
        description=header["StudyDescription"],
        referring_ae=referring_ae,
    )


def instance_of(
    header: Header,
    *,
    object_key: str,
    sha256: str,
    size_bytes: int,
    received_at: datetime,
    source: str,
) -> Instance:
    """The index row of an object whose bytes lie under `object_key`."""
    return Instance(
        sop_instance_uid=uid(header, "SOPInstanceUID"),
        sop_class_uid=uid(header, "SOPClassUID"),
        series_uid=uid(header, "SeriesInstanceUID"),
        study_uid=uid(header, "StudyInstanceUID"),
        transfer_syntax_uid=header.transfer_syntax_uid,
        object_key=object_key,
        sha256=sha256,
        size_bytes=size_bytes,
        received_at=received_at,
        source=source,
        modality=header["Modality"][:16],
    )


def acquired_at(header: Header) -> datetime | None:
    """When the film was taken, as UTC: the first moment stated, from acquisition down to study.

    DICOM times are local (PS3.3 C.12.1.1.8): Timezone Offset From UTC applies where it is sent, the
    zone of this machine otherwise. A date with its time may end in an offset of its own.
    """
    offset = header["TimezoneOffsetFromUTC"]
    whole, sign, own = re.split(r"([+-]|$)", header["AcquisitionDateTime"], maxsplit=1)
    stated = [(whole[:8], whole[8:14], f"{sign}{own}" or offset)] + [
        (header[f"{level}Date"], header[f"{level}Time"], offset)
        for level in ("Acquisition", "Content", "Series", "Study")
    ]
    for day, clock, zone in stated:
        moment = _moment(day, clock)
        if moment is not None:
            return _as_utc(moment, zone)
    return None


def _unknown_patient(study_uid: str) -> str:
    return f"UNKNOWN-{hashlib.sha256(study_uid.encode()).hexdigest()[:12].upper()}"


def day_of(value: str) -> date | None:
    """A DICOM date; None where it is empty or none."""
    found = _DAY.fullmatch(value)
    try:
        return date(*(int(part) for part in found.groups())) if found else None
    except ValueError:
        return None


def _moment(day: str, clock: str) -> datetime | None:
    found, time = day_of(day), _CLOCK.match(clock)
    if found is None:
        return None
    midnight = datetime(found.year, found.month, found.day)
    try:
        hour, minute, second = (int(part or 0) for part in time.groups()) if time else (0, 0, 0)
        return midnight.replace(hour=hour, minute=minute, second=min(second, 59))
    except ValueError:
        return midnight


def _as_utc(moment: datetime, offset: str) -> datetime | None:
    found = _OFFSET.fullmatch(offset)
    try:
        if found is None:
            return moment.astimezone(UTC)
        sign = 1 if found[1] == "+" else -1
        away = timedelta(hours=int(found[2]), minutes=int(found[3]))
        return moment.replace(tzinfo=timezone(sign * away)).astimezone(UTC)
    except (ValueError, OverflowError):  # the year 1, or an offset of more than a day
        return None
