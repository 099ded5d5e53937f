"""The DICOM port: C-ECHO, C-STORE, C-FIND and commitment, by several processes on one port.

The data set is written as received and never decoded here. Against hostile or broken peers: every
wait has an end, connections are counted before a thread is spent on them, and one message cannot
grow beyond the largest object.
"""

from __future__ import annotations

import gc
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any, cast

import pydicom.config
import structlog
from pydicom.dataset import Dataset
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from service.dicom import commitment, find, message, tls
from service.dicom.acknowledgement import AcknowledgingProvider
from service.dicom.antechamber import Antechamber, Caller
from service.dicom.association import WaitingAssociation, make_waiting
from service.dicom.commitment import PUSH_MODEL, REQUEST, Commitments
from service.dicom.find import Finder
from service.dicom.fragments import BoundedSocket, MessageBudget, StoringUpperLayer
from service.dicom.header import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from service.dicom.ingest import Ingest
from service.dicom.reception import Reception
from service.dicom.sop_classes import VERIFICATION, is_storable
from service.errors import CarinaError, UsageError
from service.settings import Settings

MAX_PDU_BYTES = 128 << 10  # 1.5 times faster than pynetdicom's 16 KiB
ACSE_TIMEOUT_S = 15.0  # a peer that connects and says nothing
DIMSE_TIMEOUT_S = 60.0  # a request whose data set stops coming
NETWORK_TIMEOUT_S = 60.0  # an association that falls silent
_WAITING_CONNECTIONS = 128  # in the queue of the kernel
_SILENT_CONNECTIONS = 512  # accepted, and nothing said so far
_SPARE_CONNECTIONS = 16  # beyond the limit: enough to be told "local limit exceeded"
_MESSAGE_OVERHEAD = 1 << 20  # command set and PDU headers beside the data set
_PROCESSING_FAILURE = 0x0110  # PS3.7 C.5
_SUCCESS, _PENDING, _PENDING_KEYS_IGNORED, _CANCELLED = 0x0000, 0xFF00, 0xFF01, 0xFE00
_NO_SUCH_QUERY = 0xA900  # PS3.4 C.4.1.1.4: the identifier does not fit the SOP class
_UNABLE_TO_FIND = 0xC001
_INVALID_ARGUMENT, _NO_SUCH_ACTION, _RESOURCE_LIMITATION = 0x0115, 0x0123, 0x0213  # PS3.7 C.5
_POLL_S = 0.05
_TIDY_EVERY_S = 30.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Listener:
    """A running DICOM port."""

    server: ThreadedAssociationServer
    thread: threading.Thread

    @property
    def port(self) -> int:
        """The port in force, also where the settings say 0."""
        return int(self.server.server_address[1])

    def stop(self) -> None:
        """Close the port, then end the associations; what was not acknowledged is sent again."""
        if not self.thread.is_alive():
            return
        self.server.shutdown()
        self.thread.join()
        for assoc in self.server.active_associations:
            if assoc.is_established:
                assoc.abort()
            else:
                cast(WaitingAssociation, assoc).hang_up()


def open_port(settings: Settings) -> socket.socket:
    """Listen on the DICOM port; whoever is handed this socket may accept its connections.

    A connection that comes while no process accepts waits in the queue of the kernel.

    Raises
    ------
    OSError : the port is taken.
    """
    family = family_of(settings.dicom_host)
    listening = socket.create_server(
        (settings.dicom_host, settings.dicom_port),
        family=family,
        backlog=_WAITING_CONNECTIONS,
        dualstack_ipv6=family == socket.AF_INET6,  # as the server of one process has it
    )
    listening.setblocking(False)  # several accept: a connection may be gone before its turn
    return listening


def family_of(host: str) -> socket.AddressFamily:
    """IPv6 for an address that is written so, such as `::`; else IPv4."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def serve(
    settings: Settings,
    ingest: Ingest,
    finder: Finder | None = None,
    commitments: Commitments | None = None,
) -> Listener:
    """Serve the DICOM port in threads of this process; open it unless it was handed on to us.

    Parameters
    ----------
    finder : answers queries. They are offered to the titles of the allow-list alone: who is not
        known to us is told nothing of a patient.
    commitments : takes storage commitments of the nodes that it knows.

    Raises
    ------
    OSError : the port is taken.
    UsageError : TLS is configured with files that cannot be used.
    """
    # Else each UID that a sender proposes, hundreds of them, is matched several times, and what
    # does not fit is told to a log.
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    _config.LOG_HANDLER_LEVEL = "none"  # else each message is formatted, patient data included
    _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False  # as above
    ae = AE(ae_title=settings.ae_title)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION
    ae.maximum_pdu_size = MAX_PDU_BYTES
    ae.maximum_associations = settings.max_associations
    ae.acse_timeout = ACSE_TIMEOUT_S
    ae.dimse_timeout = DIMSE_TIMEOUT_S
    ae.network_timeout = NETWORK_TIMEOUT_S
    ae.require_called_aet = True
    ae.require_calling_aet = list(settings.allowed_ae_titles)
    asked = finder if settings.allowed_ae_titles else None
    server: Any = ae.make_server(
        (settings.dicom_host, settings.dicom_port),
        ae_title=settings.ae_title,
        contexts=[build_context(VERIFICATION)],
        ssl_context=tls.of_listener(settings),
        evt_handlers=[
            (evt.EVT_REQUESTED, _offer, [asked, commitments]),
            (evt.EVT_REJECTED, _rejected, [settings]),
            (evt.EVT_C_STORE, _store, [ingest]),
            (evt.EVT_C_FIND, _find, [asked]),
            (evt.EVT_N_ACTION, _commit, [commitments]),
            (evt.EVT_DIMSE_RECV, _message_complete),
        ],
        server_class=_PortServer,
        request_handler=_BoundedHandler,
        ingest=ingest,
        listening_fd=settings.listening_fd,
    )
    ae._servers.append(
        server
    )  # shutdown() takes it off that list; start_server() would have done so
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": _POLL_S}, name="dicom", daemon=True
    )
    thread.start()
    return Listener(server, thread)


def _store(event: evt.Event, ingest: Ingest) -> Dataset | int:
    """Answer a C-STORE request once its object is durable (PS3.4 B.2.3)."""
    calling = _calling(event)
    request = cast(C_STORE, event.request)
    data_set = cast(BytesIO, request.DataSet)
    try:
        taken = ingest.take(
            data_set if isinstance(data_set, Reception) else data_set.getvalue(),
            source=f"c-store:{calling}",
            actor=calling,
            address=event.assoc.requestor.address,
            transfer_syntax_uid=str(event.context.transfer_syntax),
            announced_uid=str(request.AffectedSOPInstanceUID),
            pulled=_is_moved_by_us(event, request),
        )
    except CarinaError as error:
        status = f"0x{error.dicom_status:04X}"
        _log.warning("object refused", source=calling, status=status, why=error.message)
        return _status(error.dicom_status, error.message)
    except Exception:  # noqa: BLE001
        # The edge to the network: the sender keeps the object, the traceback is for us.
        _log.exception("object refused by a fault", source=calling)
        return _status(_PROCESSING_FAILURE, "internal fault; send it again later")
    finally:
        if isinstance(data_set, Reception):
            data_set.discard()
    _log.info("object taken in", source=calling, outcome=taken.outcome)
    return _SUCCESS


def _is_moved_by_us(event: evt.Event, request: C_STORE) -> bool:
    """Whether the object answers a C-MOVE of our own (PS3.7 9.1.1.1.7)."""
    originator = (request.MoveOriginatorApplicationEntityTitle or "").strip()
    return originator == event.assoc.ae.ae_title.strip()


def _find(event: evt.Event, finder: Finder | None) -> Iterator[tuple[Dataset, Dataset | None]]:
    """Answer a C-FIND request, match by match (PS3.4 C.4.1)."""
    calling = _calling(event)
    if finder is None:
        yield _status(_PROCESSING_FAILURE, "queries are not offered to this caller"), None
        return
    try:
        asked = _said(event, "Identifier", find.MOST_BYTES, find.MOST_ITEMS)
        question = find.read(asked, str(event.request.AffectedSOPClassUID))
        pending = _PENDING_KEYS_IGNORED if question.ignored else _PENDING
        for match in finder.answers(question, calling, event.assoc.requestor.address):
            if event.is_cancelled:
                yield _status(_CANCELLED), None
                return
            yield _status(pending), match
    except UsageError as error:
        yield _status(_NO_SUCH_QUERY, error.message), None
    except CarinaError as error:
        _log.warning("query refused", source=calling, why=error.message)
        yield _status(error.dicom_status, error.message), None
    except Exception:  # noqa: BLE001
        # The edge to the network: the traceback is for us.
        _log.exception("query failed by a fault", source=calling)
        yield _status(_UNABLE_TO_FIND, "internal fault; ask again later"), None


def _commit(event: evt.Event, commitments: Commitments | None) -> tuple[Dataset, None]:
    """Take a storage commitment in (PS3.4 J.3.2); its report follows on its own association."""
    calling = _calling(event)
    if commitments is None or event.action_type != REQUEST:
        return _status(_NO_SUCH_ACTION), None
    try:
        asked = _said(event, "ActionInformation", commitment.MOST_BYTES, commitment.MOST_REFERENCES)
        commitments.take(asked, calling, event.assoc.requestor.address)
    except UsageError as error:
        return _status(_INVALID_ARGUMENT, error.message), None
    except CarinaError as error:
        _log.warning("commitment not taken in", source=calling, why=error.message)
        return _status(_RESOURCE_LIMITATION, error.message), None
    except Exception:  # noqa: BLE001
        # The edge to the network: the node asks again, the traceback is for us.
        _log.exception("commitment not taken in by a fault", source=calling)
        return _status(_PROCESSING_FAILURE, "internal fault; ask again later"), None
    return _status(_SUCCESS), None


def _said(event: evt.Event, name: str, most_bytes: int, most_items: int) -> Dataset:
    """The data set of a request; `event` would decode whatever it is."""
    encoded, syntax = getattr(event.request, name), str(event.context.transfer_syntax)
    return message.read(encoded, syntax, most_bytes=most_bytes, most_items=most_items)


def _calling(event: evt.Event) -> str:
    """AE title of the peer, fit for a log."""
    return _title(event.assoc.requestor.ae_title)


def _title(title: str | None) -> str:
    return "".join(letter for letter in title or "" if letter.isprintable()).strip()


def _status(code: int, comment: str = "") -> Dataset:
    response = Dataset()
    response.Status = code
    if comment:
        response.ErrorComment = comment[:64]  # PS3.7 C: VR LO
    return response


def _offer(event: evt.Event, finder: Finder | None, commitments: Commitments | None) -> None:
    """Support what is proposed, as far as it can be stored, in the order of the sender.

    PS3.8 leaves the choice among proposed transfer syntaxes to us. The sender names first what it
    holds; another choice would make it convert the film, or fail when it has no codec for that.
    """
    proposals: dict[str, list[str]] = {}
    request = cast(A_ASSOCIATE, event.assoc.requestor.primitive)
    for context in request.presentation_context_definition_list:
        syntaxes = proposals.setdefault(str(context.abstract_syntax), [])
        syntaxes += [str(uid) for uid in context.transfer_syntax or () if uid not in syntaxes]
    event.assoc.acceptor.supported_contexts = [build_context(VERIFICATION)] + [
        _context(sop_class, storable)
        for sop_class, syntaxes in proposals.items()
        if (storable := tuple(uid for uid in syntaxes if is_storable(sop_class, uid)))
    ]
    if finder is not None:
        event.assoc.acceptor.supported_contexts += [
            build_context(model, list(message.TRANSFER_SYNTAXES)) for model in find.LEVELS
        ]
    if commitments is not None and commitments.knows(request.calling_ae_title or ""):
        event.assoc.acceptor.supported_contexts += [
            build_context(PUSH_MODEL, list(message.TRANSFER_SYNTAXES))
        ]


@lru_cache(maxsize=1024)
def _context(sop_class: str, transfer_syntaxes: tuple[str, ...]) -> PresentationContext:
    """What is supported of a class; it is only read, so that associations share it."""
    return build_context(sop_class, list(transfer_syntaxes))


def _rejected(event: evt.Event, settings: Settings) -> None:
    """Say who was turned away: the sender's own log seldom tells its user why."""
    requestor = event.assoc.requestor
    calling, called = (
        _calling(event),
        _title(cast(A_ASSOCIATE, requestor.primitive).called_ae_title),
    )
    if called != settings.ae_title.strip():
        why = "called AE title is not CARINA_AE_TITLE"
    elif settings.allowed_ae_titles and calling not in settings.allowed_ae_titles:
        why = "calling AE title is not in CARINA_ALLOWED_AE_TITLES"
    else:
        why = "more associations than CARINA_MAX_ASSOCIATIONS"
    _log.warning(
        "association rejected", source=calling, called=called, address=requestor.address, why=why
    )


class _PortServer(ThreadedAssociationServer):
    """Accepts from a socket that several processes may hold; counts before it serves."""

    daemon_threads = True
    request_queue_size = _WAITING_CONNECTIONS

    def __init__(self, *arguments: Any, ingest: Ingest, listening_fd: int, **named: Any) -> None:
        self.ingest = ingest
        self.listening_fd = listening_fd
        self.agreeing = threading.Semaphore(_SPARE_CONNECTIONS)  # connections that agree on TLS
        self._ending, self._ended = threading.Event(), threading.Event()
        self._tidied_at = time.monotonic()
        super().__init__(*arguments, **named)

    def server_bind(self) -> None:
        """Bind, unless the port was handed on to this process: then take that socket."""
        if self.listening_fd < 0:
            super().server_bind()
            return
        cast(socket.socket, self.socket).close()
        self.socket = socket.socket(fileno=self.listening_fd)
        self.socket.setblocking(False)
        self.server_address = self.socket.getsockname()

    def server_close(self) -> None:
        """Let go of the port; the other processes that hold it go on accepting."""
        cast(socket.socket, self.socket).close()

    def serve_forever(self, poll_interval: float = _POLL_S) -> None:
        """Serve everyone who speaks, until `shutdown`."""
        port = cast(socket.socket, self.socket)
        port.setblocking(False)
        antechamber = Antechamber(port, _SILENT_CONNECTIONS, ACSE_TIMEOUT_S)
        try:
            while not self._ending.is_set():
                for caller in antechamber.speaking(poll_interval):
                    self._serve(caller)
                self.service_actions()
        finally:
            antechamber.close()
            self._ended.set()

    def _serve(self, caller: Caller) -> None:
        request = caller.connection
        try:
            if self.ssl_context is not None:  # agreed on in a thread of its own: it takes two
                request.settimeout(ACSE_TIMEOUT_S)
                request = self.ssl_context.wrap_socket(
                    request, server_side=True, do_handshake_on_connect=False
                )
            if self.verify_request(request, caller.address):
                self.process_request(request, caller.address)
                return
        except OSError:
            _log.warning("a connection broke before it was served")
        except Exception:  # noqa: BLE001
            # The edge to the network: one connection never ends the port.
            _log.exception("a connection was not served by a fault")
        self.shutdown_request(request)

    def service_actions(self) -> None:
        """Collect the rings of references that ended associations leave, once in a while."""
        if time.monotonic() - self._tidied_at > _TIDY_EVERY_S:
            gc.collect()
            self._tidied_at = time.monotonic()

    def shutdown(self) -> None:
        """Serve no more, and let go of the port."""
        self._ending.set()
        self._ended.wait()
        self.server_close()
        self.ae._servers.remove(self)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Close a connection at once when far too many are open; silent ones give way to it."""
        held = cast(list[WaitingAssociation], self.active_associations)
        if len(held) < self.ae.maximum_associations:
            return True
        silent = [assoc for assoc in held if assoc.is_silent]
        for assoc in silent[: (len(silent) + 1) // 2]:  # in the order in which they came
            assoc.hang_up()
        return len(held) < self.ae.maximum_associations + _SPARE_CONNECTIONS


class _BoundedHandler(RequestHandler):
    """Gives each association a budget of bytes for one message."""

    def handle(self) -> None:
        """Agree on TLS where it is configured, then serve the association."""
        if isinstance(self.request, ssl.SSLSocket) and not self._agreed(self.request):
            self.request.close()
            return
        super().handle()

    def _agreed(self, connection: ssl.SSLSocket) -> bool:
        agreeing = cast(_PortServer, self.server).agreeing
        if not agreeing.acquire(blocking=False):
            return False
        try:
            connection.do_handshake()
        except OSError as error:  # ssl.SSLError is one
            _log.warning("TLS was not agreed on", why=getattr(error, "reason", "") or "silence")
            return False
        finally:
            agreeing.release()
        return True

    def _create_association(self) -> Association:
        assoc = super()._create_association()
        ingest = cast(_PortServer, self.server).ingest
        bounded = cast(BoundedSocket, assoc.dul.socket)
        bounded.__class__ = BoundedSocket
        cast(socket.socket, bounded.socket).settimeout(self.ae.network_timeout)
        bounded.budget = MessageBudget(ingest.max_object_bytes + _MESSAGE_OVERHEAD)
        make_waiting(assoc)
        layer = cast(StoringUpperLayer, assoc.dul)
        layer.__class__ = StoringUpperLayer
        layer.begin = ingest.reception
        assoc.dimse.__class__ = AcknowledgingProvider
        return assoc


def _message_complete(event: evt.Event) -> None:
    cast(BoundedSocket, event.assoc.dul.socket).budget.renew()
