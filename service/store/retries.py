"""What failed and is tried again because an administrator asks for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import select, update

from service.errors import ConflictError, NotFoundError
from service.records import AuditEvent
from service.store.database import Database
from service.store.journal import write_audit, write_news
from service.store.operations import FAILED, UNDONE, in_vain
from service.store.results import CURRENT
from service.store.tables import COMMITMENTS, DELIVERIES, RESULTS, STUDIES


class Retries(Database):
    """Studies, deliveries and commitments put back to where they wait, with the audit row."""

    def retry_study(self, study_uid: str, audit: AuditEvent) -> bool:
        """Have a study whose result failed judged again; False where it waits for that already.

        Raises
        ------
        NotFoundError : there is no such study.
        ConflictError : it has no failed result in force.
        """
        with self._write() as connection:
            query = select(STUDIES).where(STUDIES.c.study_uid == study_uid).with_for_update()
            study = connection.execute(query).first()
            if study is None:
                raise NotFoundError("expected a study under this Study Instance UID, found none")
            if study.revision > study.scored_revision:
                return False
            failed = select(RESULTS.c.result_id).where(
                RESULTS.c.study_uid == study_uid, CURRENT, FAILED
            )
            if connection.execute(failed).first() is None:
                raise ConflictError(
                    "expected a study whose result failed, found another one; "
                    "only what failed is judged again"
                )
            connection.execute(
                update(STUDIES)
                .where(STUDIES.c.study_uid == study_uid)
                .values(revision=STUDIES.c.revision + 1)
            )
            write_audit(
                connection, replace(audit, patient_id=study.patient_id, study_uid=study_uid)
            )
            write_news(connection, "study", study.patient_id, audit.at)
        return True

    def retry_delivery(self, delivery_id: str, audit: AuditEvent) -> None:
        """Have an object sent again now, with all its attempts before it.

        Raises
        ------
        NotFoundError : there is no such delivery.
        ConflictError : it was delivered.
        """
        owner = (
            select(RESULTS.c.patient_id, RESULTS.c.study_uid)
            .join(DELIVERIES, DELIVERIES.c.result_id == RESULTS.c.result_id)
            .where(DELIVERIES.c.delivery_id == delivery_id)
        )
        which = DELIVERIES.c.delivery_id == delivery_id
        with self._write() as connection:
            row = connection.execute(owner).first()
            if row is None:
                raise NotFoundError("expected a delivery of this identifier, found none")
            again = update(DELIVERIES).where(which, DELIVERIES.c.state.in_(UNDONE))
            if not connection.execute(again.values(_due(audit.at))).rowcount:
                raise ConflictError("expected a delivery that failed, found it delivered")
            write_audit(
                connection, replace(audit, patient_id=row.patient_id, study_uid=row.study_uid)
            )

    def retry_destination(self, destination: str, audit: AuditEvent) -> int:
        """Have everything that a destination did not take sent again now; how much that is."""
        which = (DELIVERIES.c.destination == destination, *in_vain(DELIVERIES))
        with self._write() as connection:
            tried = connection.execute(update(DELIVERIES).where(*which).values(_due(audit.at)))
            if tried.rowcount:
                write_audit(connection, audit)
        return tried.rowcount

    def retry_commitment(self, transaction_uid: str, audit: AuditEvent) -> None:
        """Have a storage commitment answered again now.

        Raises
        ------
        NotFoundError : nobody asked it.
        ConflictError : it was answered.
        """
        which = COMMITMENTS.c.transaction_uid == transaction_uid
        with self._write() as connection:
            if connection.execute(select(COMMITMENTS.c.state).where(which)).first() is None:
                raise NotFoundError("expected a storage commitment of this transaction, found none")
            again = update(COMMITMENTS).where(which, COMMITMENTS.c.state.in_(UNDONE))
            if not connection.execute(again.values(_due(audit.at))).rowcount:
                raise ConflictError("expected a commitment that failed, found it reported")
            write_audit(connection, audit)


def _due(now: datetime) -> dict[str, Any]:
    """As new: due now, no attempt counted; the words of the last one stay."""
    return {"state": "waiting", "attempts": 0, "due_at": now, "updated_at": now}
