"""Storage Commitment, push model (PS3.4 J): a node asks what is kept, and is told by a report.

The question is durable before it is answered 0x0000. The report goes over an association of our own
to the node's address in `CARINA_NODES`, and is tried again until the node takes it.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import build_role
from pynetdicom.presentation import build_context

from models.tags import items, text
from service.dicom import deliver
from service.errors import DeliveryError, UsageError
from service.records import AuditEvent, Commitment
from service.store.index import Index

PUSH_MODEL = UID("1.2.840.10008.1.20.1")
WELL_KNOWN = UID("1.2.840.10008.1.20.1.1")
REQUEST = 1  # PS3.4 J.3.2: action type ID
ALL_KEPT, SOME_MISSING = 1, 2  # PS3.4 J.3.3: event type ID
NO_SUCH_INSTANCE, ANOTHER_CLASS = 0x0112, 0x0119  # PS3.3 C.14.1.1: failure reason
MOST_REFERENCES = 20_000
MOST_BYTES = MOST_REFERENCES * 200  # two UIDs of 64 characters, and their tags


class Commitments:
    """Takes questions of known nodes in.

    Parameters
    ----------
    nodes : `AETITLE@host:port`.
    asked : called with the transaction UID after the commit and before the answer.
    """

    def __init__(
        self,
        index: Index,
        nodes: Sequence[str],
        asked: Callable[[str], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._index = index
        self._asked = asked
        self._clock = clock
        self._addresses = addresses(nodes)

    def knows(self, ae_title: str) -> bool:
        """Whether a node of this title may ask."""
        return ae_title.strip() in self._addresses

    def take(self, information: Dataset, calling: str, address: str) -> None:
        """Make a question durable and have it answered.

        Raises
        ------
        UsageError : it has no transaction UID, names nothing, or the node is not known.
        OutOfResourcesError : database or queue away; ask again later.
        """
        if not self.knows(calling):
            raise UsageError("expected a node of CARINA_NODES, found another")
        now = self._clock()
        question = Commitment(
            _transaction(information), calling, _references(information), "waiting", 0, now
        )
        audit = AuditEvent(
            now, calling, "commitment", "success", address=address,
            detail=f"{len(question.references)} objects",
        )  # fmt: skip
        self._index.add_commitment(question, audit)
        self._asked(question.transaction_uid)


def addresses(nodes: Sequence[str]) -> Mapping[str, str]:
    """`AETITLE@host:port` by AE title.

    Raises
    ------
    UsageError : one has another form.
    """
    return MappingProxyType({deliver.parse_destination(node).ae_title: node for node in nodes})


def report(
    question: Commitment,
    kept: Mapping[str, str],
    node: str,
    calling_ae: str,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Tell the node which of its objects are kept (N-EVENT-REPORT).

    Parameters
    ----------
    kept : SOP class of each object that is in force, by SOP Instance UID.
    node : `AETITLE@host:port`.

    Raises
    ------
    DeliveryError : the node does not take it; try again later.
    """
    event_type, said = event_of(question, kept)
    context = build_context(PUSH_MODEL)
    role = build_role(PUSH_MODEL, scp_role=True)
    with deliver.association(node, context, calling_ae, tls, [role]) as assoc:
        status, _ = assoc.send_n_event_report(said, event_type, PUSH_MODEL, WELL_KNOWN)
    if status.get("Status") != 0x0000:
        found = f"0x{status.Status:04X}" if "Status" in status else "no answer"
        raise DeliveryError(f"expected {node} to take a commitment report, found {found}")


def event_of(question: Commitment, kept: Mapping[str, str]) -> tuple[int, Dataset]:
    """Event type and information of the report (PS3.4 table J.3-2)."""
    present, absent = [], []
    for sop_class_uid, sop_instance_uid in question.references:
        item = Dataset()
        item.ReferencedSOPClassUID = sop_class_uid
        item.ReferencedSOPInstanceUID = sop_instance_uid
        known = kept.get(sop_instance_uid)
        if known == sop_class_uid:
            present.append(item)
            continue
        item.FailureReason = NO_SUCH_INSTANCE if known is None else ANOTHER_CLASS
        absent.append(item)
    said = Dataset()
    said.TransactionUID = question.transaction_uid
    if present:
        said.ReferencedSOPSequence = present
    if absent:
        said.FailedSOPSequence = absent
    return (SOME_MISSING if absent else ALL_KEPT), said


def _transaction(information: Dataset) -> str:
    uid = text(information, "TransactionUID")
    if not uid or len(uid) > 64:
        raise UsageError("expected a TransactionUID, found none that can be")
    return uid


def _references(information: Dataset) -> tuple[tuple[str, str], ...]:
    named = items(information, "ReferencedSOPSequence")
    pairs = tuple(
        (text(one, "ReferencedSOPClassUID"), text(one, "ReferencedSOPInstanceUID"))
        for one in named[:MOST_REFERENCES]
    )
    if not pairs or len(named) > MOST_REFERENCES:
        raise UsageError(
            f"expected 1 to {MOST_REFERENCES} items in ReferencedSOPSequence, found {len(named)}"
        )
    if not all(0 < len(uid) <= 64 for pair in pairs for uid in pair):
        raise UsageError("expected a SOP class and a SOP instance in each item, found none in one")
    return pairs
