"""One viewing is one audit row: a page that renews itself every minute is not a new look."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

ONE_VIEWING = timedelta(minutes=10)
MOST = 20_000


class Viewings:
    """Remembers what was audited lately in this process.

    A renewal is only left out of the audit while a row for the same user and the same page is
    at most `ONE_VIEWING` old, so that nobody sees anything without a row beside it.
    """

    def __init__(self) -> None:
        self._audited: dict[tuple[str, str, str], datetime] = {}
        self._lock = threading.Lock()

    def continues(self, username: str, page: str, about: str, now: datetime) -> bool:
        """Whether a row for this look is already there; False means: write one now."""
        key = (username, page, about)
        with self._lock:
            last = self._audited.get(key)
            if last is not None and timedelta(0) <= now - last <= ONE_VIEWING:
                return True
            self._remember(key, now)
            return False

    def begin(self, username: str, page: str, about: str, now: datetime) -> None:
        """Note a look that was asked for by a person; its row is written in any case."""
        with self._lock:
            self._remember((username, page, about), now)

    def _remember(self, key: tuple[str, str, str], now: datetime) -> None:
        self._audited[key] = now
        if len(self._audited) > MOST:
            fresh = {k: at for k, at in self._audited.items() if now - at <= ONE_VIEWING}
            self._audited = fresh if len(fresh) <= MOST else {}
