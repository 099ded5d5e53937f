"""The end of a process: in order, and on time whatever does not let go."""

from __future__ import annotations

import os
import threading

import structlog

END_S = 30.0  # of which running studies have ten; systemd kills after 60
LINGER_S = 3.0  # once everything is closed

_log = structlog.get_logger(__name__)


def end_within(seconds: float) -> None:
    """End this process after so long, if it has not ended by itself.

    A database that is silent, or a job that tries it again and again, would hold it for minutes.
    Nothing is lost: what was acknowledged is durable, and what runs is done at the next start.
    """
    timer = threading.Timer(seconds, _leave, (seconds,))
    timer.daemon = True  # runs on while the interpreter waits for other threads
    timer.start()


def _leave(seconds: float) -> None:
    _log.warning("end not waited for", seconds=seconds)
    os._exit(0)
