"""What a worker looks at every few seconds: the minute, and the other workers.

It counts its own seconds: a clock that is set back neither stops it nor makes it hurry.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from service.jobs.pipeline import log_failure
from service.jobs.places import Places

LOOK_S = 5.0
MINUTE = timedelta(minutes=1)
MOST_MINUTES = 60  # of a machine that slept, so many are made up for


class Watch:
    """A thread that tells each minute once and finds jobs whose worker is gone.

    Parameters
    ----------
    busy : the names of the workers that jobs are with.
    take_over : called with names that nobody holds; their jobs are for anyone then.
    minute : called with each full minute that has passed, and with the present one after the
        clock was set back.
    """

    def __init__(
        self,
        places: Places,
        clock: Callable[[], datetime],
        busy: Callable[[], set[str]],
        take_over: Callable[[list[str]], None],
        minute: Callable[[datetime], None],
    ) -> None:
        self._places = places
        self._clock = clock
        self._busy = busy
        self._take_over = take_over
        self._minute = minute
        self._missing: set[str] = set()
        self._told = _full(clock())
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Take over at once what was left, then look every `LOOK_S` seconds."""
        self._missing = self._gone()
        self.look()
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(LOOK_S)  # a silent database would hold it for ever

    def _run(self) -> None:
        while not self._closing.wait(LOOK_S):
            for look in (self.look, self.tell):
                try:
                    look()
                except Exception as error:  # noqa: BLE001  # database away: look again
                    log_failure("watch failed", error)

    def look(self) -> None:
        """Take over from workers that were missing at the last look and still are.

        One look is not enough: after a restart of the database each worker takes its place again
        at its own next look. Taking over from a living worker would only cost time.
        """
        gone = self._gone()
        sure = gone & self._missing
        self._missing = gone - sure
        if sure:
            self._take_over(sorted(sure))

    def _gone(self) -> set[str]:
        self._places.keep()
        busy = self._busy()  # before the places: who is busy then has its place by now
        return busy - self._places.held() - {self._places.name}

    def tell(self) -> None:
        """Tell the minutes that have passed since the last one told."""
        now = _full(self._clock())
        if now < self._told:
            self._told = now - MINUTE  # set back: go on from here
        first = max(self._told + MINUTE, now - (MOST_MINUTES - 1) * MINUTE)
        while first <= now:
            self._minute(first)
            self._told = first
            first += MINUTE


def _full(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)
