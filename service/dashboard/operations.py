"""The operations page in words: what needs somebody, the bars of the inflow, and the rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

from service.dashboard import figures
from service.dashboard.moments import Zone, age
from service.installation import Crew, Destination, Failure, FailureKind, Hour, Kept, Queue, Worker
from service.operations.overview import Overview
from service.operations.state import OK

BAR, HEIGHT = 10, 100  # of the drawing: width for one hour, height of the highest hour
PLAIN, LIGHT, ODD = "plain-fill", "light-fill", "odd-fill"
Stack = tuple[tuple[int, str], ...]
"""The counts of one hour with their styles, the lowest first."""

QUEUES: Final = MappingProxyType(
    {
        "carina-studies": "Studies to judge",
        "carina-risks": "Risks to compute",
        "carina-sends": "Reports to make and send",
        "carina-priors": "Earlier films to ask for",
    }
)
WORK: Final = MappingProxyType(
    {
        "carina_study": "judges a study",
        "carina_risk": "computes a patient’s risk",
        "carina_ward": "computes the risks of the ward",
        "carina_delivery": "makes a report",
        "carina_send": "sends what is due",
        "carina_priors": "asks the PACS for earlier films",
        "carina_retention": "keeps to the retention rules",
        "carina_tick": "sees to the schedule",
    }
)
KINDS: Final = MappingProxyType(
    {
        "films": "Films received",
        "others": "Other objects received",
        "reports": "SR and SEG of Carina’s own",
    }
)
FAILURES: Final[MappingProxyType[FailureKind, str]] = MappingProxyType(
    {"study": "Study", "delivery": "Delivery", "commitment": "Storage commitment"}
)
STUDY_REASONS: Final = MappingProxyType(
    {
        "crashed": "It ended the process of its worker five times and was given up.",
        "internal": "Something unexpected broke while it was judged; the log line “study failed” "
        "has the place.",
    }
)


@dataclass(frozen=True, slots=True)
class Bar:
    """One part of an hour's bar, in units of the drawing."""

    x: int
    y: float
    height: float
    style: str


@dataclass(frozen=True, slots=True)
class Bars:
    """Hours as bars; what went as it should stands below what did not."""

    parts: tuple[Bar, ...]
    width: int
    most: int
    said: str


@dataclass(frozen=True, slots=True)
class Row:
    """One hour of the table behind the bars."""

    start: str
    hour: Hour


@dataclass(frozen=True, slots=True)
class Inflow:
    """What came in and what was made of it."""

    films: Bars
    judged: Bars
    rows: tuple[Row, ...]
    first: str
    total: Hour


@dataclass(frozen=True, slots=True)
class Need:
    """Something that needs somebody, and where on the page it is."""

    words: str
    where: str


@dataclass(frozen=True, slots=True)
class FailureRow:
    """One failure as it is listed."""

    failure: Failure
    what: str
    why: str
    at: str
    age: str
    again: bool
    dismissed: str


@dataclass(frozen=True, slots=True)
class DestinationRow:
    """One destination as it is listed."""

    name: str
    configured: bool
    delivered: str
    owed: Destination
    failing: str
    message: str


@dataclass(frozen=True, slots=True)
class QueueRow:
    """One queue as it is listed."""

    words: str
    waiting: str
    running: int
    oldest: str


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One worker as it is listed."""

    name: str
    living: bool
    since: str
    doing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Room:
    """How much is kept of one kind."""

    words: str
    objects: int
    size: str


def inflow(hours: Sequence[Hour], zone: Zone, now: datetime) -> Inflow:
    """Bars, table (newest hour first) and totals of some hours."""
    total = Hour(
        hours[0].start,
        films=sum(one.films for one in hours),
        undecodable=sum(one.undecodable for one in hours),
        aside=sum(one.aside for one in hours),
        judged=sum(one.judged for one in hours),
        refused=sum(one.refused for one in hours),
        failed=sum(one.failed for one in hours),
    )
    odd = [one.undecodable + one.aside for one in hours]
    films = [((one.films - n, PLAIN), (n, ODD)) for one, n in zip(hours, odd, strict=True)]
    judged = [
        ((one.judged - one.refused - one.failed, PLAIN), (one.refused, LIGHT), (one.failed, ODD))
        for one in hours
    ]
    return Inflow(
        _bars(films, "films"),
        _bars(judged, "studies"),
        tuple(Row(zone.shown(one.start, now), one) for one in reversed(hours)),
        zone.shown(hours[0].start, now),
        total,
    )


def _bars(hours: Sequence[Stack], what: str) -> Bars:
    sums = [sum(count for count, _ in one) for one in hours]
    most = max(sums, default=0)
    return Bars(
        tuple(part for x, one in enumerate(hours) for part in _stack(x, one, max(most, 1))),
        BAR * len(hours),
        most,
        f"{sum(sums)} {what} in {len(hours)} hours, at most {most} in one hour",
    )


def _stack(x: int, hour: Stack, most: int) -> Iterator[Bar]:
    top = float(HEIGHT)
    for count, style in hour:
        if count:
            height = HEIGHT * count / most
            top -= height
            yield Bar(x * BAR + 1, round(top, 2), round(height, 2), style)


def needs(seen: Overview) -> tuple[Need, ...]:
    """What needs somebody now, the worst first; nothing where all is well."""
    return tuple(
        Need(words, where)
        for words, where in (
            (_broken("The database cannot be used", seen.storage.index), "storage"),
            (_broken("The object store cannot be used", seen.storage.objects), "storage"),
            (_broken("The job queue cannot be asked", seen.crew_away or OK), "workers"),
            (_nobody_works(seen.crew, seen.counts["studies_pending"]), "workers"),
            (_given_up(_failed_studies(seen), "study"), "failures"),
            (_given_up(_failed_deliveries(seen), "delivery"), "failures"),
            (_given_up(_failed_commitments(seen), "commitment"), "failures"),
            (_failing(seen.destinations), "destinations"),
            (_aside(sum(one.aside for one in seen.hours)), "inflow"),
        )
        if words
    )


def _broken(what: str, said: str) -> str:
    return "" if said == OK else f"{what}: {said}."


def _nobody_works(crew: Crew | None, pending: int) -> str:
    if crew is None or any(one.living for one in crew.workers):
        return ""
    waits = f" and {_many(pending, 'study waits', 'studies wait')}" if pending else ""
    return f"No worker is running{waits}: start carina worker, or serve with CARINA_WORKERS."


def _failed_studies(seen: Overview) -> int:
    """Those that nobody has asked to be judged again yet."""
    again = sum(one.kind == "study" and one.state == "waiting" for one in seen.failures)
    return seen.failure_counts["study"] - again


def _failed_deliveries(seen: Overview) -> int:
    """Those to destinations that are still to be sent to."""
    return sum(one.failed for one in seen.destinations if one.name in seen.configured)


def _failed_commitments(seen: Overview) -> int:
    """Those that nobody has put aside."""
    return seen.commitments["failed"] - seen.dismissed_counts["commitment"]


def _given_up(number: int, kind: FailureKind) -> str:
    words = {
        "study": ("study could not be judged", "studies could not be judged"),
        "delivery": ("report was given up", "reports were given up"),
        "commitment": (
            "storage commitment was given up",
            "storage commitments were given up",
        ),
    }[kind]
    return f"{_many(number, *words)}: look why, then try again or dismiss." if number else ""


def _failing(destinations: Sequence[Destination]) -> str:
    names = [one.name for one in destinations if one.failing_since and one.waiting]
    return f"Reports wait for {', '.join(names)}: it does not take them." if names else ""


def _aside(number: int) -> str:
    if not number:
        return ""
    films = _many(number, "film was", "films were")
    return f"{films} kept aside: a known UID with other bytes, or a study of two patients."


def _many(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def failure_rows(failures: Sequence[Failure], zone: Zone, now: datetime) -> tuple[FailureRow, ...]:
    """The failures, those that wait for somebody first, the newest first."""
    ordered = sorted(failures, key=lambda one: (one.state != "failed", -one.at.timestamp()))
    return tuple(
        FailureRow(
            one,
            FAILURES[one.kind] + (f" to {one.peer}" if one.peer else ""),
            _why(one),
            zone.shown(one.at, now),
            age(one.at, now),
            one.state == "waiting",
            zone.shown(one.dismissal.at, now) if one.dismissal else "",
        )
        for one in ordered
    )


def _why(failure: Failure) -> str:
    if failure.kind == "study":
        return STUDY_REASONS.get(failure.code, sentence(failure.message))
    return sentence(failure.message) or "It has not been tried yet."


def sentence(message: str) -> str:
    """A message as a sentence of the page."""
    said = message.strip()
    return said[:1].upper() + said[1:] + ("" if not said or said.endswith(".") else ".")


def destination_rows(seen: Overview, zone: Zone, now: datetime) -> tuple[DestinationRow, ...]:
    """The destinations, those of the settings first."""
    return tuple(
        DestinationRow(
            one.name,
            one.name in seen.configured,
            zone.shown(one.delivered_at, now) if one.delivered_at else "",
            one,
            zone.shown(one.failing_since, now) if one.failing_since else "",
            sentence(one.message) if one.failing_since else "",
        )
        for one in seen.destinations
    )


def queue_rows(queues: Sequence[Queue], now: datetime) -> tuple[QueueRow, ...]:
    """The queues in words."""
    return tuple(
        QueueRow(
            QUEUES.get(one.name, one.name),
            f"{one.waiting}+" if one.capped else str(one.waiting),
            one.running,
            age(one.oldest, now) if one.oldest else "",
        )
        for one in queues
    )


def worker_rows(workers: Sequence[Worker], zone: Zone, now: datetime) -> tuple[WorkerRow, ...]:
    """The workers in words."""
    return tuple(
        WorkerRow(
            f"{one.name} ({one.address})" if one.address else one.name,
            one.living,
            zone.shown(one.since, now) if one.since else "",
            tuple(f"{WORK.get(job.name, job.name)}, {age(job.since, now)}" for job in one.work),
        )
        for one in workers
    )


def rooms(kept: Sequence[Kept]) -> tuple[Room, ...]:
    """What is kept, by kind."""
    return tuple(Room(KINDS[one.kind], one.objects, size(one.size_bytes / 2**20)) for one in kept)


def size(megabytes: float) -> str:
    """A size in the unit that gives it one to four digits; 1 GB is 1024 MB."""
    for unit in ("MB", "GB", "TB"):
        if megabytes < 1000 or unit == "TB":
            digits = 0 if megabytes == 0 or megabytes >= (10 if unit == "MB" else 100) else 1
            return f"{figures.number(megabytes, digits)} {unit}"
        megabytes /= 1024
    raise AssertionError("unreachable")
