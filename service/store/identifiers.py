"""Patient identifiers: after a merge the old one leads to the patient that is left."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, delete, func, select

from service.errors import NotFoundError
from service.records import Patient
from service.store import payloads
from service.store.database import insert_missing
from service.store.tables import MERGES, PATIENTS


def leads_to(patient_id: str) -> ColumnElement[str]:
    """The identifier of the patient that an identifier stands for, within a query."""
    merged = select(MERGES.c.patient_id).where(MERGES.c.merged_id == patient_id)
    return func.coalesce(merged.scalar_subquery(), patient_id)


def surviving(connection: Connection, patient_id: str) -> str:
    """The identifier of the patient that an identifier stands for now."""
    query = select(MERGES.c.patient_id).where(MERGES.c.merged_id == patient_id)
    return str(connection.execute(query).scalar() or patient_id)


def lock_patient(connection: Connection, patient_id: str) -> bool:
    """Hold the patient until the commit; always before the study, so that nobody deadlocks.

    Returns
    -------
    Whether there is one under this identifier.
    """
    query = select(PATIENTS.c.patient_id).where(PATIENTS.c.patient_id == patient_id)
    return connection.execute(query.with_for_update()).first() is not None


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
    while not held:  # the row may be deleted before it is held
        insert_missing(connection, PATIENTS, [payloads.columns(patient)])
        held = lock_patient(connection, patient.patient_id)
    if surviving(connection, patient.patient_id) == patient.patient_id:
        return patient.patient_id
    connection.execute(delete(PATIENTS).where(PATIENTS.c.patient_id == patient.patient_id))
    return hold_patient(connection, patient.patient_id)
