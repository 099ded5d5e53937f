"""What happened: audit rows, news for the pages, deliveries and commitments on their way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)

from service.errors import NotFoundError, UsageError
from service.records import AuditEvent, Commitment, Delivery, NewsEvent
from service.store import payloads
from service.store.database import Database, insert_missing, upsert
from service.store.tables import AUDITS, COMMITMENTS, DELIVERIES, INSTANCES, NEWS, NEWS_COUNTER

FIRST_WAIT = timedelta(seconds=15)
LONGEST_WAIT = timedelta(hours=1)
_ADD_AUDIT, _ADD_NEWS = insert(AUDITS), insert(NEWS)
_COUNT_ON = update(NEWS_COUNTER).values(last=NEWS_COUNTER.c.last + 1).returning(NEWS_COUNTER.c.last)


def write_audit(connection: Connection, event: AuditEvent) -> None:
    """Write the audit row in the transaction of the act itself."""
    connection.execute(_ADD_AUDIT, payloads.columns(event))


def write_news(connection: Connection, kind: str, patient_id: str, at: datetime) -> None:
    """Number a piece of news; call it last, the counter stays locked until the commit."""
    number = connection.execute(_COUNT_ON).scalar()
    if number is None:  # the first piece of all
        insert_missing(connection, NEWS_COUNTER, [{"one": 1, "last": 0}])
        number = connection.execute(_COUNT_ON).scalar_one()
    news = {"number": number, "kind": kind, "patient_id": patient_id, "at": at}
    connection.execute(_ADD_NEWS, news)


def wait_after(attempts: int) -> timedelta:
    """How long a delivery rests: 15 s after the first attempt, doubled each time, at most 1 h."""
    if attempts <= 0:
        return timedelta(0)
    return min(FIRST_WAIT * (1 << min(attempts - 1, 20)), LONGEST_WAIT)


def _take_due(
    connection: Connection, table: Table, now: datetime, until: datetime, limit: int
) -> Sequence[RowMapping]:
    """Rows that wait and are due, the longest waiting first, now due at `until` to others."""
    query = (
        select(table)
        .where(table.c.state == "waiting", table.c.due_at <= now)
        .order_by(table.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = connection.execute(query).mappings().all()
    (key,) = table.primary_key.columns
    taken = update(table).where(key.in_([row[key.name] for row in rows]))
    connection.execute(taken.values(due_at=until))
    return rows


def _record_attempt(connection: Connection, table: Table, tried: Delivery | Commitment) -> None:
    values = payloads.columns(tried)
    (key,) = table.primary_key.columns
    recorded = update(table).where(key == values[key.name])
    if tried.state in ("waiting", "failed"):
        recorded = recorded.where(table.c.state == "waiting")
    due_at = tried.updated_at + wait_after(tried.attempts)
    connection.execute(recorded.values(values | {"due_at": due_at}))


def _named(asked: Mapping[str, str]) -> list[ColumnElement[bool]]:
    """Columns of the audit and their values; the first one leads to the rows.

    SQLite does not count: it would as soon walk along all rows of an actor as along the few of a
    study or a patient. A column within a function is not looked up by its index.
    """
    first = next(iter(asked)) if {"study_uid", "patient_id"} & asked.keys() else None
    columns = {name: AUDITS.c[name] for name in asked}
    return [
        (column if first in (None, name) else func.coalesce(column, "")) == asked[name]
        for name, column in columns.items()
    ]


class Journal(Database):
    """Audit, news, deliveries and commitments."""

    def add_audit(self, event: AuditEvent) -> None:
        """Write one audit row by itself (for reads, logins and exports)."""
        with self._write() as connection:
            write_audit(connection, event)

    def add_audits(self, events: Sequence[AuditEvent]) -> None:
        """Write audit rows that belong together, all or none."""
        if not events:
            return
        rows = [payloads.columns(event) for event in events]
        with self._write() as connection:
            connection.execute(insert(AUDITS), rows)

    def audits(
        self,
        *,
        patient_id: str | None = None,
        actor: str | None = None,
        action: str | None = None,
        study_uid: str | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> tuple[AuditEvent, ...]:
        """Give the audit rows from `since` until just before `before`, newest first."""
        named = {"study_uid": study_uid, "patient_id": patient_id, "actor": actor, "action": action}
        asked = {name: value for name, value in named.items() if value is not None}
        dated = (AUDITS.c.at.desc(),) if since or before else ()  # walks along the index on it
        query = select(AUDITS).order_by(*dated, AUDITS.c.number.desc())
        query = query.limit(limit).offset(offset)
        query = query.where(*_named(asked))
        if since is not None:
            query = query.where(AUDITS.c.at >= since)
        if before is not None:
            query = query.where(AUDITS.c.at < before)
        with self._read() as connection:
            return tuple(payloads.audit(row) for row in connection.execute(query).mappings())

    def news(self, after: int, limit: int = 100) -> tuple[NewsEvent, ...]:
        """Give the news numbered above `after`, in order, without gaps."""
        query = select(NEWS).where(NEWS.c.number > after).order_by(NEWS.c.number).limit(limit)
        with self._read() as connection:
            return tuple(payloads.news(row) for row in connection.execute(query).mappings())

    def last_news(self) -> int:
        """Give the number of the newest piece of news; 0 before the first."""
        with self._read() as connection:
            return connection.execute(select(NEWS_COUNTER.c.last)).scalar() or 0

    def forget_news(self, before: datetime) -> None:
        """Delete old news; no page looks that far back. The numbers go on."""
        with self._write() as connection:
            connection.execute(delete(NEWS).where(NEWS.c.at < before))

    def add_delivery(self, delivery: Delivery) -> None:
        """Put a result object on its way; the same delivery twice is one."""
        values = payloads.columns(delivery) | {"due_at": delivery.updated_at}
        with self._write() as connection:
            insert_missing(connection, DELIVERIES, [values])

    def set_delivery(self, delivery: Delivery) -> None:
        """Record an attempt; a waiting delivery becomes due again after its back-off.

        One that was put aside during the attempt stays so, unless it was delivered after all.
        """
        with self._write() as connection:
            _record_attempt(connection, DELIVERIES, delivery)

    def due_deliveries(self, now: datetime, limit: int = 100) -> tuple[Delivery, ...]:
        """Give the waiting deliveries whose back-off is over, the longest waiting first."""
        query = (
            select(DELIVERIES)
            .where(DELIVERIES.c.state == "waiting", DELIVERIES.c.due_at <= now)
            .order_by(DELIVERIES.c.due_at)
            .limit(limit)
        )
        with self._read() as connection:
            return tuple(payloads.delivery(row) for row in connection.execute(query).mappings())

    def take_deliveries(
        self, now: datetime, until: datetime, limit: int = 20
    ) -> tuple[Delivery, ...]:
        """Take due deliveries for one worker: to others they are not due before `until`.

        A worker that dies gives them back by doing nothing.
        """
        with self._write() as connection:
            rows = _take_due(connection, DELIVERIES, now, until, limit)
            return tuple(payloads.delivery(row) for row in rows)

    def deliveries(self, result_id: str | None = None) -> tuple[Delivery, ...]:
        """Give the deliveries of one result, or the newest thousand of all, newest first."""
        query = select(DELIVERIES).order_by(DELIVERIES.c.updated_at.desc()).limit(1000)
        if result_id is not None:
            query = query.where(DELIVERIES.c.result_id == result_id)
        with self._read() as connection:
            return tuple(payloads.delivery(row) for row in connection.execute(query).mappings())

    def add_commitment(self, commitment: Commitment, audit: AuditEvent) -> None:
        """Take a question in; the same transaction again is asked anew.

        Raises
        ------
        UsageError : another node has asked under this Transaction UID, and waits for its answer.
        """
        values = payloads.columns(commitment) | {"due_at": commitment.updated_at}
        asked = select(COMMITMENTS.c.ae_title).where(
            COMMITMENTS.c.transaction_uid == commitment.transaction_uid
        )
        with self._write() as connection:
            if connection.execute(asked).scalar() not in (None, commitment.ae_title):
                raise UsageError(
                    "expected a Transaction UID of this node's own, found another node's; make "
                    "a new one"
                )
            upsert(connection, COMMITMENTS, [values])
            write_audit(connection, audit)

    def set_commitment(self, commitment: Commitment) -> None:
        """Record an attempt to answer; as `set_delivery`."""
        with self._write() as connection:
            _record_attempt(connection, COMMITMENTS, commitment)

    def take_commitments(
        self, now: datetime, until: datetime, limit: int = 20
    ) -> tuple[Commitment, ...]:
        """Take questions that are due to be answered; as `take_deliveries`."""
        with self._write() as connection:
            rows = _take_due(connection, COMMITMENTS, now, until, limit)
            return tuple(payloads.commitment(row) for row in rows)

    def commitment(self, transaction_uid: str) -> Commitment:
        """Give one question; NotFoundError where nobody asked it."""
        query = select(COMMITMENTS).where(COMMITMENTS.c.transaction_uid == transaction_uid)
        with self._read() as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            raise NotFoundError("expected a storage commitment of this transaction, found none")
        return payloads.commitment(row)

    def kept_classes(self, sop_instance_uids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Give SOP class and object key of each of these instances that is in force."""
        found: dict[str, tuple[str, str]] = {}
        said = (INSTANCES.c.sop_instance_uid, INSTANCES.c.sop_class_uid, INSTANCES.c.object_key)
        with self._read() as connection:
            for start in range(0, len(sop_instance_uids), 500):
                part = sop_instance_uids[start : start + 500]
                query = select(*said).where(
                    INSTANCES.c.sop_instance_uid.in_(part), INSTANCES.c.state != "conflict"
                )
                found |= {uid: (kind, key) for uid, kind, key in connection.execute(query)}
        return found
