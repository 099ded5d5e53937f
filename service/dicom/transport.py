"""The one repair that pynetdicom's sockets need on both sides of an association."""

from __future__ import annotations

from pynetdicom.transport import AssociationSocket


class ClosingSocket(AssociationSocket):
    """Closed for certain: pynetdicom leaves a socket open when the peer was gone first."""

    def _shutdown_socket(self) -> None:
        closing = self.socket
        super()._shutdown_socket()
        if closing is not None:
            closing.close()
