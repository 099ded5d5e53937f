"""Times as a ward reads them: local, with the zone, and how long ago."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from service.errors import UsageError

LOCALTIME = Path("/etc/localtime")
MINUTES_UNTIL = timedelta(minutes=90)
HOURS_UNTIL = timedelta(hours=48)


@dataclass(frozen=True, slots=True)
class Zone:
    """The hospital's time zone.

    Parameters
    ----------
    name : IANA name or UTC offset (`+02:00`), as browsers take it in `Intl.DateTimeFormat`.
    """

    name: str
    rules: tzinfo

    @classmethod
    def named(cls, name: str) -> Zone:
        """The zone `name`, or where it is empty the machine's.

        Raises
        ------
        UsageError : no such zone.
        """
        wanted = name or _machine_zone()
        try:
            return cls(wanted, ZoneInfo(wanted))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise UsageError(
                f"expected an IANA time zone such as Europe/Berlin, found {wanted!r}; "
                "set CARINA_TIME_ZONE"
            ) from None

    def local(self, moment: datetime) -> datetime:
        """The same moment on the ward's clock."""
        return moment.astimezone(self.rules)

    def shown(self, moment: datetime, now: datetime) -> str:
        """`14:05 CET` today, `22 Nov 14:05 CET` this year, else with the year."""
        local, today = self.local(moment), self.local(now)
        clock = f"{local:%H:%M} {_zone_word(local)}"
        if local.date() == today.date():
            return clock
        day = f"{local.day} {local:%b}"
        return f"{day} {clock}" if local.year == today.year else f"{day} {local.year} {clock}"

    def whole(self, moment: datetime) -> str:
        """Day, clock and zone, whatever today is."""
        local = self.local(moment)
        return f"{local.day} {local:%b %Y %H:%M} {_zone_word(local)}"

    def exact(self, moment: datetime) -> str:
        """The same to the second."""
        local = self.local(moment)
        return f"{local.day} {local:%b %Y %H:%M:%S} {_zone_word(local)}"


def _zone_word(local: datetime) -> str:
    word = local.tzname() or ""
    return f"UTC{word}" if word[:1] in "+-" else word


def _machine_zone() -> str:
    named = os.environ.get("TZ", "").lstrip(":")
    if named:
        return named
    if LOCALTIME.is_symlink():
        _, marker, name = str(LOCALTIME.resolve()).partition("zoneinfo/")
        if marker and (name not in {"", "localtime"}):
            return name.removeprefix("posix/")
    offset = datetime.now(UTC).astimezone().utcoffset() or timedelta(0)
    hours = round(offset.total_seconds() / 3600)
    return f"Etc/GMT{-hours:+d}" if hours else "UTC"  # POSIX: the sign is turned round


def age(then: datetime, now: datetime) -> str:
    """How long ago: minutes below 90, hours below 48, then days; `<1 min` for just now.

    A moment that lies ahead says so: the sender's clock is wrong, and nobody must take such a
    value for a fresh one.
    """
    passed = now - then
    if passed < timedelta(minutes=-2):  # two clocks of one hospital may differ by a little
        return f"{_span(-passed)} ahead"
    return _span(max(passed, timedelta(0)))


def _span(passed: timedelta) -> str:
    if passed < timedelta(minutes=1):
        return "<1 min"
    if passed < MINUTES_UNTIL:
        return f"{passed // timedelta(minutes=1)} min"
    if passed < HOURS_UNTIL:
        return f"{passed // timedelta(hours=1)} h"
    return f"{passed.days} d"


def years(birth_date: date | None, today: date) -> int | None:
    """Age in whole years; None without a birth date or with one that lies ahead."""
    if birth_date is None or birth_date > today:
        return None
    before = (today.month, today.day) < (birth_date.month, birth_date.day)
    return today.year - birth_date.year - before
