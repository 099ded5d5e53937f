"""What DBOS has to say, in the form of our log."""

from __future__ import annotations

import logging

import structlog

_log = structlog.get_logger(__name__)


class _Words(logging.Handler):
    """Passes messages on without their later lines, which may quote values."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one line on."""
        said = record.getMessage().partition("\n")[0][:200]
        _log.log(record.levelno, "queue says", said=said)


def hear_dbos() -> None:
    """Take the place of the console handler that DBOS would add for itself."""
    logger = logging.getLogger("dbos")
    logger.handlers = [_Words(logging.WARNING)]
    logger.propagate = False
