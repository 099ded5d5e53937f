"""What failed and is put aside because an administrator says why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, select, update

from service.errors import ConflictError, NotFoundError
from service.installation import FailureKind
from service.records import AuditEvent
from service.store.database import Database, upsert
from service.store.journal import write_audit
from service.store.operations import FAILED, in_vain, is_dismissed
from service.store.results import CURRENT
from service.store.tables import COMMITMENTS, DELIVERIES, DISMISSALS, RESULTS, STUDIES


class Dismissals(Database):
    """Failures that leave the list, each with who, when and why.

    What is tried by itself is given up with it. A dismissal speaks of what had failed by then:
    where the same thing is tried again and fails, it is listed anew.
    """

    def dismiss_study(self, study_uid: str, reason: str, audit: AuditEvent) -> None:
        """Put the failed result of a study aside.

        Raises
        ------
        NotFoundError : there is no such study.
        ConflictError : it has no failed result in force, or waits to be judged again.
        """
        failed = select(RESULTS.c.created_at).where(
            RESULTS.c.study_uid == study_uid, CURRENT, FAILED
        )
        with self._write() as connection:
            study = connection.execute(
                select(STUDIES).where(STUDIES.c.study_uid == study_uid).with_for_update()
            ).first()
            if study is None:
                raise NotFoundError("expected a study under this Study Instance UID, found none")
            at = connection.execute(failed).scalar()
            if at is None:
                raise ConflictError("expected a study whose result failed, found another one")
            if study.revision > study.scored_revision:
                raise ConflictError(
                    "expected a study that was given up, found one that waits to be judged again; "
                    "wait for its result"
                )
            _put_aside(connection, "study", {study_uid: at}, reason, audit)
            write_audit(
                connection, replace(audit, patient_id=study.patient_id, study_uid=study_uid)
            )

    def dismiss_delivery(self, delivery_id: str, reason: str, audit: AuditEvent) -> None:
        """Put a delivery aside that did not work; it is not tried by itself any more.

        Raises
        ------
        NotFoundError : there is no such delivery.
        ConflictError : it was delivered, or not tried yet.
        """
        owner = (
            select(RESULTS.c.patient_id, RESULTS.c.study_uid)
            .join(DELIVERIES, DELIVERIES.c.result_id == RESULTS.c.result_id)
            .where(DELIVERIES.c.delivery_id == delivery_id)
        )
        with self._write() as connection:
            row = connection.execute(owner).first()
            if row is None:
                raise NotFoundError("expected a delivery of this identifier, found none")
            which = (DELIVERIES.c.delivery_id == delivery_id, *in_vain(DELIVERIES))
            found = _give_up(connection, DELIVERIES, which, audit)
            if not found:
                raise ConflictError("expected a delivery that failed, found one that did not")
            _put_aside(connection, "delivery", found, reason, audit)
            write_audit(
                connection, replace(audit, patient_id=row.patient_id, study_uid=row.study_uid)
            )

    def dismiss_destination(self, destination: str, reason: str, audit: AuditEvent) -> int:
        """Put everything aside that a destination did not take; how much that is."""
        open_ones = (
            DELIVERIES.c.destination == destination,
            *in_vain(DELIVERIES),
            ~is_dismissed("delivery", DELIVERIES.c.delivery_id, DELIVERIES.c.updated_at),
        )
        with self._write() as connection:
            found = _give_up(connection, DELIVERIES, open_ones, audit)
            if found:
                _put_aside(connection, "delivery", found, reason, audit)
                write_audit(connection, audit)
        return len(found)

    def dismiss_commitment(self, transaction_uid: str, reason: str, audit: AuditEvent) -> None:
        """Put a storage commitment aside that could not be reported.

        Raises
        ------
        NotFoundError : nobody asked it.
        ConflictError : it was reported, or not tried yet.
        """
        which = COMMITMENTS.c.transaction_uid == transaction_uid
        with self._write() as connection:
            if connection.execute(select(COMMITMENTS.c.state).where(which)).first() is None:
                raise NotFoundError("expected a storage commitment of this transaction, found none")
            found = _give_up(connection, COMMITMENTS, (which, *in_vain(COMMITMENTS)), audit)
            if not found:
                raise ConflictError("expected a commitment that failed, found one that did not")
            _put_aside(connection, "commitment", found, reason, audit)
            write_audit(connection, audit)


def _give_up(
    connection: Connection, table: Any, which: tuple[ColumnElement[bool], ...], audit: AuditEvent
) -> dict[str, datetime]:
    """Have what is tried by itself tried no more.

    Returns
    -------
    When each of them, given up before or now, failed last.
    """
    (name,) = table.primary_key.columns
    query = select(name.label("name"), table.c.updated_at).where(*which).with_for_update()
    found = {row.name: row.updated_at for row in connection.execute(query)}
    waiting = update(table).where(*which, table.c.state == "waiting")
    connection.execute(waiting.values(state="failed", updated_at=audit.at))
    return found


def _put_aside(
    connection: Connection,
    kind: FailureKind,
    failed_at: Mapping[str, datetime],
    reason: str,
    audit: AuditEvent,
) -> None:
    """Note a dismissal of each, never before its failure: clocks of two machines differ."""
    same = {"kind": kind, "actor": audit.actor, "reason": reason}
    rows = [same | {"name": name, "at": max(audit.at, at)} for name, at in failed_at.items()]
    upsert(connection, DISMISSALS, rows)
