"""Results on their way out: C-STORE to a destination such as the PACS."""

from __future__ import annotations

import io
import re
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.transport import AssociationSocket

from service.dicom.header import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from service.dicom.sop_classes import VERIFICATION
from service.dicom.transport import ClosingSocket
from service.errors import DeliveryError, UsageError

CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 60.0
MAX_PDU_BYTES = 128 << 10
_DESTINATION = re.compile(
    r"(?P<ae>[^@\\\x00-\x1f]{1,16})@(?P<host>[^@\s]+):(?P<port>\d{1,5})(?P<tls>/tls)?"
)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where results go, and whether they go there over TLS."""

    ae_title: str
    host: str
    port: int
    tls: bool = False


def parse_destination(text: str) -> Destination:
    """Read `AETITLE@host:port` or `AETITLE@host:port/tls`; an IPv6 address stands in brackets.

    Raises
    ------
    UsageError : it has another form.
    """
    found = _DESTINATION.fullmatch(text.strip())
    if found is None or not 0 < int(found["port"]) < 65536 or not found["ae"].strip():
        raise UsageError(
            f"expected a destination like PACS@host:104 or PACS@host:2762/tls, found {text!r}; "
            "correct CARINA_DESTINATIONS, CARINA_NODES or CARINA_PRIORS_PACS"
        )
    return Destination(
        found["ae"].strip(), found["host"].strip("[]"), int(found["port"]), bool(found["tls"])
    )


def send(
    data: bytes, destination: str, calling_ae: str = "CARINA", tls: ssl.SSLContext | None = None
) -> None:
    """Send a DICOM file and wait until the destination says that it is stored.

    Parameters
    ----------
    data : a whole DICOM file.
    destination : `AETITLE@host:port`, with `/tls` behind it where it speaks TLS.
    tls : how TLS is spoken, for such a destination.

    Raises
    ------
    DeliveryError : nobody answers, the association or the object is refused; try again later.
    UsageError : `destination` has another form.
    """
    ds = dcmread(io.BytesIO(data))
    context = build_context(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID)
    with association(destination, context, calling_ae, tls) as assoc:
        answer = assoc.send_c_store(ds)
    _check_answer(answer, destination)


def echo(destination: str, calling_ae: str = "CARINA", tls: ssl.SSLContext | None = None) -> None:
    """Ask a destination for a sign of life (C-ECHO).

    Raises
    ------
    DeliveryError : it does not answer.
    """
    with association(destination, build_context(VERIFICATION), calling_ae, tls) as assoc:
        answer = assoc.send_c_echo()
    _check_answer(answer, destination)


class _ApplicationEntity(AE):
    """Opens its connections with `ClosingSocket`."""

    def _create_socket(self, *arguments: Any) -> AssociationSocket:
        opened: AssociationSocket = super()._create_socket(*arguments)
        opened.__class__ = ClosingSocket
        return opened


@contextmanager
def association(
    destination: str,
    context: PresentationContext,
    calling_ae: str,
    tls: ssl.SSLContext | None,
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
) -> Iterator[Association]:
    """Open an association with a node for one kind of object, and release it afterwards.

    Raises
    ------
    DeliveryError : nobody answers, or the association is refused.
    UsageError : `destination` has another form, or speaks TLS and `tls` is None.
    """
    where = parse_destination(destination)
    if where.tls and tls is None:
        raise UsageError(f"expected TLS to be set up for {destination}, found that it is not")
    ae = _ApplicationEntity(ae_title=calling_ae)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION
    ae.connection_timeout = ae.acse_timeout = CONNECT_TIMEOUT_S
    ae.dimse_timeout = ae.network_timeout = ANSWER_TIMEOUT_S
    assoc = ae.associate(
        where.host,
        where.port,
        [context],
        ae_title=where.ae_title,
        max_pdu=MAX_PDU_BYTES,
        ext_neg=list(roles),
        tls_args=(tls, where.host) if where.tls and tls is not None else None,
    )
    if not assoc.is_established:
        raise DeliveryError(_why_no_association(assoc, destination))
    try:
        yield assoc
    finally:
        if assoc.is_established:
            assoc.release()


def _why_no_association(assoc: Association, destination: str) -> str:
    if assoc.is_rejected:
        return (
            f"expected {destination} to accept an association, found it rejected; "
            "check the AE titles on both sides"
        )
    if assoc.rejected_contexts:
        refused = UID(assoc.rejected_contexts[0].abstract_syntax or "").name
        return f"expected {destination} to accept {refused}, found it refused; allow it there"
    return f"expected an answer from {destination}, found none; check host, port and the network"


def _check_answer(answer: Dataset, destination: str) -> None:
    status = answer.get("Status")
    if status is None:
        raise DeliveryError(
            f"expected {destination} to answer, found the association broken; "
            "the object is kept here and tried again"
        )
    # PS3.4 B.2.3: 0x0000 stored, 0xBxxx stored with a warning.
    if status != 0x0000 and status & 0xF000 != 0xB000:
        raise DeliveryError(
            f"expected {destination} to store the object, found status 0x{status:04X}"
            f"{_comment(answer)}; it is kept here and tried again"
        )


def _comment(answer: Dataset) -> str:
    comment = answer.get("ErrorComment", "")
    return f" ({comment})" if comment else ""
