"""Results on their way out: C-STORE to a destination such as the PACS."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

from pydicom import dcmread
from pynetdicom import AE
from pynetdicom.presentation import build_context

from service.dicom.header import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from service.errors import DeliveryError, UsageError

CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 60.0
MAX_PDU_BYTES = 128 << 10
_DESTINATION = re.compile(r"(?P<ae>[^@\\\x00-\x1f]{1,16})@(?P<host>[^@\s]+):(?P<port>\d{1,5})")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where results go."""

    ae_title: str
    host: str
    port: int


def parse_destination(text: str) -> Destination:
    """Read `AETITLE@host:port`; an IPv6 address stands in brackets.

    Raises
    ------
    UsageError : it has another form.
    """
    found = _DESTINATION.fullmatch(text.strip())
    if found is None or not 0 < int(found["port"]) < 65536 or not found["ae"].strip():
        raise UsageError(
            f"expected a destination like PACS@host:104, found {text!r}; "
            "correct CARINA_DESTINATIONS"
        )
    return Destination(found["ae"].strip(), found["host"].strip("[]"), int(found["port"]))


def send(data: bytes, destination: str, calling_ae: str = "CARINA") -> None:
    """Send a DICOM file and wait until the destination says that it is stored.

    Parameters
    ----------
    data : a whole DICOM file.
    destination : `AETITLE@host:port`.

    Raises
    ------
    DeliveryError : nobody answers, the association or the object is refused; try again later.
    UsageError : `destination` has another form.
    """
    where = parse_destination(destination)
    ds = dcmread(io.BytesIO(data))
    ae = _application_entity(calling_ae)
    assoc = ae.associate(
        where.host,
        where.port,
        contexts=[build_context(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID)],
        ae_title=where.ae_title,
        max_pdu=MAX_PDU_BYTES,
    )
    if not assoc.is_established:
        raise DeliveryError(_why_no_association(assoc.is_rejected, destination))
    try:
        answer = assoc.send_c_store(ds)
    except ValueError as error:  # no accepted context
        raise DeliveryError(
            f"expected {destination} to accept {ds.SOPClassUID.name}, found it refused; "
            "allow this SOP class there"
        ) from error
    finally:
        assoc.release()
    _check_answer(answer.get("Status"), answer.get("ErrorComment", ""), destination)


def echo(destination: str, calling_ae: str = "CARINA") -> None:
    """Ask a destination for a sign of life (C-ECHO).

    Raises
    ------
    DeliveryError : it does not answer.
    """
    where = parse_destination(destination)
    assoc = _application_entity(calling_ae).associate(
        where.host,
        where.port,
        contexts=[build_context("1.2.840.10008.1.1")],
        ae_title=where.ae_title,
    )
    if not assoc.is_established:
        raise DeliveryError(_why_no_association(assoc.is_rejected, destination))
    answer = assoc.send_c_echo()
    assoc.release()
    _check_answer(answer.get("Status"), "", destination)


def _application_entity(calling_ae: str) -> AE:
    ae = AE(ae_title=calling_ae)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION
    ae.connection_timeout = CONNECT_TIMEOUT_S
    ae.acse_timeout = CONNECT_TIMEOUT_S
    ae.dimse_timeout = ANSWER_TIMEOUT_S
    ae.network_timeout = ANSWER_TIMEOUT_S
    return ae


def _why_no_association(rejected: bool, destination: str) -> str:
    if rejected:
        return (
            f"expected {destination} to accept an association, found it rejected; "
            "check the AE titles on both sides"
        )
    return f"expected an answer from {destination}, found none; check host, port and the network"


def _check_answer(status: int | None, comment: str, destination: str) -> None:
    if status is None:
        raise DeliveryError(f"expected {destination} to answer, found the association broken")
    # PS3.4 B.2.3: 0x0000 stored, 0xBxxx stored with a warning.
    if status != 0x0000 and status & 0xF000 != 0xB000:
        raise DeliveryError(
            f"expected {destination} to store the object, found status 0x{status:04X} {comment}; "
            "it is kept here and tried again".replace("  ", " ")
        )
