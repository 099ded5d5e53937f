"""What an administrator looks at: what came in, what failed, where results go, what is kept.

Each question is answered from an index or from few rows, also where years of films are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    and_,
    case,
    exists,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

from service.installation import Destination, Dismissal, Failure, FailureKind, Hour, Kept
from service.records import OWN_SOURCE, SCORED_CLASSES
from service.store.database import Database
from service.store.results import CURRENT
from service.store.tables import (
    COMMITMENTS,
    DELIVERIES,
    DISMISSALS,
    INSTANCES,
    RESULTS,
    STUDIES,
)

HOUR_S = 3600
UNDONE = ("failed", "waiting")
# Spelled out, so that SQLite sees the condition of the partial index.
FAILED = RESULTS.c.status == literal_column("'failed'")
FILMS = and_(INSTANCES.c.sop_class_uid.in_(SCORED_CLASSES), INSTANCES.c.source != OWN_SOURCE)


class hour_of(GenericFunction[int]):  # noqa: N801  # a function of SQL
    """In which hour after a start a moment lies, from 0: `hour_of(column, start)`."""

    type = Integer()
    inherit_cache = True


@compiles(hour_of, "sqlite")
def _hour_sqlite(element: Any, compiler: Any, **named: Any) -> str:
    moment, start = (compiler.process(one, **named) for one in element.clauses)
    seconds = f"(CAST(strftime('%s', {moment}) AS INTEGER) - CAST(strftime('%s', {start})"
    return f"{seconds} AS INTEGER)) / {HOUR_S}"


@compiles(hour_of, "postgresql")
def _hour_postgresql(element: Any, compiler: Any, **named: Any) -> str:
    moment, start = (compiler.process(one, **named) for one in element.clauses)
    return f"CAST(floor(extract(epoch FROM {moment} - {start}) / {HOUR_S}) AS INTEGER)"


def _count_if(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


class Operations(Database):
    """What an administrator sees."""

    def inflow(self, since: datetime, hours: int) -> tuple[Hour, ...]:
        """Count films and results of each hour from `since` on, oldest first."""
        until = since + timedelta(hours=hours)
        found = [Hour(since + timedelta(hours=number)) for number in range(hours)]
        with self._read() as connection:
            for row in connection.execute(_films(since, until)):
                found[row.hour] = replace(
                    found[row.hour], films=row.films, undecodable=row.undecodable, aside=row.aside
                )
            for row in connection.execute(_judged(since, until)):
                found[row.hour] = replace(
                    found[row.hour], judged=row.judged, refused=row.refused, failed=row.failed
                )
        return tuple(found)

    def failures(self, limit: int = 50, *, dismissed: bool = False) -> tuple[Failure, ...]:
        """Give what failed: studies, deliveries, commitments; at most `limit` of each.

        What is given up comes before what is tried again by itself, the newest first.

        Parameters
        ----------
        dismissed : those that were put aside by hand, instead of those that are open.
        """
        with self._read() as connection:
            found = (
                *_failed_studies(connection, limit, dismissed),
                *_undelivered(connection, limit, dismissed),
                *_unreported(connection, limit, dismissed),
            )
            return tuple(_with_dismissals(connection, found)) if dismissed else found

    def failure_counts(self, *, dismissed: bool = False) -> dict[str, int]:
        """Count what `failures` lists, by kind, without a bound."""
        queries = {
            "study": select(func.count()).where(CURRENT, FAILED, _of_study(dismissed)),
            "delivery": select(func.count()).where(*in_vain(DELIVERIES), _of_delivery(dismissed)),
            "commitment": select(func.count()).where(
                *in_vain(COMMITMENTS), _of_commitment(dismissed)
            ),
        }
        with self._read() as connection:
            return {kind: connection.execute(query).scalar_one() for kind, query in queries.items()}

    def commitment_counts(self) -> dict[str, int]:
        """Count storage commitments by state."""
        number = func.count().label("number")
        query = select(COMMITMENTS.c.state, number).group_by(COMMITMENTS.c.state)
        with self._read() as connection:
            none = dict.fromkeys(("waiting", "reported", "failed"), 0)
            return none | {row.state: row.number for row in connection.execute(query)}

    def destinations(self, configured: Sequence[str]) -> tuple[Destination, ...]:
        """Tell how it goes with each configured destination, and with others that are owed."""
        undone = (DELIVERIES.c.state.in_(UNDONE), _of_delivery(dismissed=False))
        owed = select(DELIVERIES.c.destination).where(*undone).distinct()
        with self._read() as connection:
            others = sorted(set(connection.execute(owed).scalars()) - set(configured))
            return tuple(_destination(connection, name) for name in (*configured, *others))

    def kept(self) -> tuple[Kept, ...]:
        """Count received films, other received objects, and reports of our own, with sizes."""
        own = INSTANCES.c.source == OWN_SOURCE
        kind = case((own, "reports"), (FILMS, "films"), else_="others").label("kind")
        query = select(kind, func.count().label("objects"), func.sum(INSTANCES.c.size_bytes))
        kinds = {name: Kept(name, 0, 0) for name in ("films", "others", "reports")}
        with self._read() as connection:
            for name, objects, size_bytes in connection.execute(query.group_by("kind")):
                kinds[name] = replace(kinds[name], objects=objects, size_bytes=int(size_bytes))
        return tuple(kinds.values())

    def database_bytes(self) -> int:
        """Tell how much room the database takes."""
        with self._read() as connection:
            if connection.dialect.name == "postgresql":
                size = func.pg_database_size(func.current_database())
                return int(connection.execute(select(size)).scalar_one())
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            return int(pages * connection.exec_driver_sql("PRAGMA page_size").scalar_one())


def _films(since: datetime, until: datetime) -> Select[int, int, int, int]:
    at = INSTANCES.c.received_at
    hour = hour_of(at, literal(since, at.type)).label("hour")
    return (
        select(
            hour,
            func.count().label("films"),
            _count_if(INSTANCES.c.state == "undecodable").label("undecodable"),
            _count_if(INSTANCES.c.state == "conflict").label("aside"),
        )
        .where(at >= since, at < until, FILMS)
        .group_by("hour")
    )


def _judged(since: datetime, until: datetime) -> Select[int, int, int, int]:
    at = RESULTS.c.created_at
    hour = hour_of(at, literal(since, at.type)).label("hour")
    return (
        select(
            hour,
            func.count().label("judged"),
            _count_if(RESULTS.c.status == "refused").label("refused"),
            _count_if(RESULTS.c.status == "failed").label("failed"),
        )
        .where(at >= since, at < until)
        .group_by("hour")
    )


def is_dismissed(
    kind: FailureKind, name: ColumnElement[str], failed_at: ColumnElement[datetime]
) -> ColumnElement[bool]:
    """Tell whether a failure was put aside after it happened."""
    return (
        exists()
        .where(DISMISSALS.c.kind == kind, DISMISSALS.c.name == name, DISMISSALS.c.at >= failed_at)
        .correlate_except(DISMISSALS)
    )


def _of_study(dismissed: bool) -> ColumnElement[bool]:
    found = is_dismissed("study", RESULTS.c.study_uid, RESULTS.c.created_at)
    return found if dismissed else ~found


def _of_delivery(dismissed: bool) -> ColumnElement[bool]:
    found = is_dismissed("delivery", DELIVERIES.c.delivery_id, DELIVERIES.c.updated_at)
    return found if dismissed else ~found


def _of_commitment(dismissed: bool) -> ColumnElement[bool]:
    found = is_dismissed("commitment", COMMITMENTS.c.transaction_uid, COMMITMENTS.c.updated_at)
    return found if dismissed else ~found


def _with_dismissals(connection: Connection, found: Sequence[Failure]) -> Iterable[Failure]:
    """Add who put them aside."""
    for one in found:
        key = (DISMISSALS.c.kind == one.kind, DISMISSALS.c.name == one.name)
        row = connection.execute(select(DISMISSALS).where(*key)).one()
        yield replace(one, dismissal=Dismissal(row.at, row.actor, row.reason))


def _failed_studies(connection: Connection, limit: int, dismissed: bool) -> Iterable[Failure]:
    earlier = RESULTS.alias("earlier")
    attempts = (
        select(func.count())
        .where(earlier.c.study_uid == RESULTS.c.study_uid, earlier.c.status == "failed")
        .scalar_subquery()
    )
    query = (
        select(RESULTS, attempts.label("attempts"), STUDIES.c.revision.label("now"),
               STUDIES.c.scored_revision)
        .join(STUDIES, STUDIES.c.study_uid == RESULTS.c.study_uid)
        .where(CURRENT, FAILED, _of_study(dismissed))
        .order_by(RESULTS.c.created_at.desc())
        .limit(limit)
    )  # fmt: skip
    for row in connection.execute(query):
        again = row.now > row.scored_revision
        yield Failure(
            "study", row.study_uid, "waiting" if again else "failed", row.created_at,
            row.attempts, row.message, row.reason,
            study_uid=row.study_uid, patient_id=row.patient_id,
        )  # fmt: skip


def in_vain(table: Any) -> tuple[ColumnElement[bool], ...]:
    """What was tried and did not work."""
    return (table.c.state.in_(UNDONE), table.c.attempts > 0)


def _undelivered(connection: Connection, limit: int, dismissed: bool) -> Iterable[Failure]:
    query = (
        select(DELIVERIES, RESULTS.c.study_uid, RESULTS.c.patient_id)
        .join(RESULTS, RESULTS.c.result_id == DELIVERIES.c.result_id)
        .where(*in_vain(DELIVERIES), _of_delivery(dismissed))
        .order_by(DELIVERIES.c.state, DELIVERIES.c.updated_at.desc())
        .limit(limit)
    )
    for row in connection.execute(query):
        yield Failure(
            "delivery", row.delivery_id, row.state, row.updated_at, row.attempts, row.message,
            peer=row.destination, study_uid=row.study_uid, patient_id=row.patient_id,
        )  # fmt: skip


def _unreported(connection: Connection, limit: int, dismissed: bool) -> Iterable[Failure]:
    query = (
        select(COMMITMENTS)
        .where(*in_vain(COMMITMENTS), _of_commitment(dismissed))
        .order_by(COMMITMENTS.c.state, COMMITMENTS.c.updated_at.desc())
        .limit(limit)
    )
    for row in connection.execute(query):
        yield Failure(
            "commitment", row.transaction_uid, row.state, row.updated_at, row.attempts,
            row.message, peer=row.ae_title,
        )  # fmt: skip


def _destination(connection: Connection, name: str) -> Destination:
    """One destination, each fact from the index on state and destination."""
    here = and_(DELIVERIES.c.destination == name, _of_delivery(dismissed=False))
    delivered = (DELIVERIES.c.destination == name, DELIVERIES.c.state == "delivered")
    taken = select(func.max(DELIVERIES.c.updated_at)).where(*delivered)
    owed = select(func.count()).where(here)
    since = (
        select(func.min(RESULTS.c.created_at))
        .join(DELIVERIES, DELIVERIES.c.result_id == RESULTS.c.result_id)
        .where(here, *in_vain(DELIVERIES))
    )
    said = (
        select(DELIVERIES.c.message)
        .where(here, *in_vain(DELIVERIES), DELIVERIES.c.message != "")
        .order_by(DELIVERIES.c.updated_at.desc())
        .limit(1)
    )
    return Destination(
        name,
        connection.execute(taken).scalar_one(),
        connection.execute(owed.where(DELIVERIES.c.state == "waiting")).scalar_one(),
        connection.execute(owed.where(DELIVERIES.c.state == "failed")).scalar_one(),
        connection.execute(since).scalar_one(),
        connection.execute(said).scalar() or "",
    )
