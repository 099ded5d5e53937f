"""What happened: audit rows, news for the pages, deliveries on their way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select, update

from service.records import AuditEvent, Delivery, NewsEvent
from service.store import payloads
from service.store.database import Database, insert_missing
from service.store.tables import AUDITS, DELIVERIES, NEWS, NEWS_COUNTER

FIRST_WAIT = timedelta(seconds=15)
LONGEST_WAIT = timedelta(hours=1)


def write_audit(connection: Connection, event: AuditEvent) -> None:
    """Write the audit row in the transaction of the act itself."""
    connection.execute(insert(AUDITS).values(payloads.columns(event)))


def write_news(connection: Connection, kind: str, patient_id: str, at: datetime) -> None:
    """Number a piece of news; call it last, the counter stays locked until the commit."""
    insert_missing(connection, NEWS_COUNTER, [{"one": 1, "last": 0}])
    number = connection.execute(
        update(NEWS_COUNTER).values(last=NEWS_COUNTER.c.last + 1).returning(NEWS_COUNTER.c.last)
    ).scalar_one()
    connection.execute(insert(NEWS).values(number=number, kind=kind, patient_id=patient_id, at=at))


def wait_after(attempts: int) -> timedelta:
    """How long a delivery rests: 15 s after the first attempt, doubled each time, at most 1 h."""
    if attempts <= 0:
        return timedelta(0)
    return min(FIRST_WAIT * (1 << min(attempts - 1, 20)), LONGEST_WAIT)


class Journal(Database):
    """Audit, news and deliveries."""

    def add_audit(self, event: AuditEvent) -> None:
        """Write one audit row by itself (for reads, logins and exports)."""
        with self._write() as connection:
            write_audit(connection, event)

    def add_audits(self, events: Sequence[AuditEvent]) -> None:
        """Write audit rows that belong together, all or none."""
        with self._write() as connection:
            for event in events:
                write_audit(connection, event)

    def audits(
        self,
        *,
        patient_id: str | None = None,
        actor: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> tuple[AuditEvent, ...]:
        """Give the audit rows, newest first."""
        query = select(AUDITS).order_by(AUDITS.c.number.desc()).limit(limit).offset(offset)
        if patient_id is not None:
            query = query.where(AUDITS.c.patient_id == patient_id)
        if actor is not None:
            query = query.where(AUDITS.c.actor == actor)
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
        """Record an attempt; a waiting delivery becomes due again after its back-off."""
        values = payloads.columns(delivery)
        values["due_at"] = delivery.updated_at + wait_after(delivery.attempts)
        statement = update(DELIVERIES).where(DELIVERIES.c.delivery_id == delivery.delivery_id)
        with self._write() as connection:
            connection.execute(statement.values(values))

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
        query = (
            select(DELIVERIES)
            .where(DELIVERIES.c.state == "waiting", DELIVERIES.c.due_at <= now)
            .order_by(DELIVERIES.c.due_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        with self._write() as connection:
            rows = connection.execute(query).mappings().all()
            ids = [row["delivery_id"] for row in rows]
            taken = update(DELIVERIES).where(DELIVERIES.c.delivery_id.in_(ids))
            connection.execute(taken.values(due_at=until))
            return tuple(payloads.delivery(row) for row in rows)

    def deliveries(self, result_id: str | None = None) -> tuple[Delivery, ...]:
        """Give the deliveries of one result, or the newest thousand of all, newest first."""
        query = select(DELIVERIES).order_by(DELIVERIES.c.updated_at.desc()).limit(1000)
        if result_id is not None:
            query = query.where(DELIVERIES.c.result_id == result_id)
        with self._read() as connection:
            return tuple(payloads.delivery(row) for row in connection.execute(query).mappings())
