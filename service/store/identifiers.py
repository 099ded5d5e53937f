"""Patient identifiers: after a merge the old one leads to the patient that is left."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, select

from service.errors import NotFoundError
from service.records import Patient
from service.store import payloads
from service.store.database import insert_if_missing
from service.store.tables import MERGES, PATIENTS


def leads_to(patient_id: str) -> ColumnElement[str]:
    """The identifier of the patient that an identifier stands for, within a query."""
    merged = select(MERGES.c.patient_id).where(MERGES.c.merged_id == patient_id)
    return func.coalesce(merged.scalar_subquery(), patient_id)


_SURVIVING = select(MERGES.c.patient_id).where(MERGES.c.merged_id == bindparam("asked"))
_HOLD = (
    select(PATIENTS.c.patient_id)
    .where(PATIENTS.c.patient_id == bindparam("asked"))
    .with_for_update()
)


def surviving(connection: Connection, patient_id: str) -> str:
    """The identifier of the patient that an identifier stands for now."""
    return str(connection.execute(_SURVIVING, {"asked": patient_id}).scalar() or patient_id)


def lock_patient(connection: Connection, patient_id: str) -> bool:
    """Hold the patient until the commit; always before the study, so that nobody deadlocks.

    Returns
    -------
    Whether there is one under this identifier.
    """
    return connection.execute(_HOLD, {"asked": patient_id}).first() is not None


def hold_patient(connection: Connection, patient_id: str) -> str:
    """Hold the patient that an identifier stands for, and give the identifier in force.

    Raises
    ------
    NotFoundError : there is none.
    """
    kept = surviving(connection, patient_id)
    while not lock_patient(connection, kept):
        last, kept = kept, surviving(connection, patient_id)  # merged while we waited
        if kept == last:
            raise NotFoundError("expected a patient under this identifier, found none")
    return kept


def make_known(connection: Connection, patient: Patient) -> str:
    """Make a patient known, hold them, and give the identifier in force.

    The row is written before the merges are looked up: whoever merges holds that row too.
    """
    held = False
    while not held:  # the row may be deleted before it is held; who inserts it holds it
        held = insert_if_missing(connection, PATIENTS, payloads.columns(patient)) or lock_patient(
            connection, patient.patient_id
        )
    if surviving(connection, patient.patient_id) == patient.patient_id:
        return patient.patient_id
    connection.execute(delete(PATIENTS).where(PATIENTS.c.patient_id == patient.patient_id))
    return hold_patient(connection, patient.patient_id)
