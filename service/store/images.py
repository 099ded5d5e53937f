"""Patients, studies and instances: what came in, and who it belongs to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)

from service.errors import NotFoundError
from service.records import (
    AuditEvent,
    Instance,
    Patient,
    Study,
    StudyFilter,
    StudySummary,
)
from service.store import payloads
from service.store.arrival import Arrival, Kept, Outcome, keep
from service.store.database import Database
from service.store.identifiers import leads_to, make_known
from service.store.journal import write_audit, write_news
from service.store.tables import INSTANCES, OUTPATIENT_RISKS, PATIENTS, STUDIES

IN_FORCE = INSTANCES.c.state != "conflict"
OLDEST_FIRST = (STUDIES.c.ordered_at, STUDIES.c.received_at, STUDIES.c.study_uid)
ADMITTED = and_(PATIENTS.c.admitted_at.is_not(None), PATIENTS.c.discharged_at.is_(None))
NEWEST_FIRST = tuple(column.desc() for column in OLDEST_FIRST)
"""Some films only tell the day: of two studies of one moment the later received is the newer."""

_KEPT_UNDER = select(INSTANCES.c.object_key, INSTANCES.c.sha256, INSTANCES.c.size_bytes).where(
    INSTANCES.c.sop_instance_uid == bindparam("asked"), IN_FORCE
)
_STUDY = select(STUDIES).where(STUDIES.c.study_uid == bindparam("asked"))
_REVISION = select(STUDIES.c.revision).where(STUDIES.c.study_uid == bindparam("asked"))


def like(column: ColumnElement[str], words: str) -> ColumnElement[bool]:
    """Tell whether the column holds the words somewhere, whatever their case."""
    return func.lower(column).contains(words.lower(), autoescape=True)


def _wildcard(column: ColumnElement[str], pattern: str) -> ColumnElement[bool]:
    """DICOM wildcard matching (PS3.4 C.2.2.2.4), whatever the case."""
    escaped = pattern.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return func.lower(column).like(escaped.replace("*", "%").replace("?", "_"), escape="\\")


def _is_pattern(text: str) -> bool:
    return "*" in text or "?" in text


class Images(Database):
    """Taking in, and looking up, in the words of DICOM."""

    def add_instance(
        self,
        instance: Instance,
        study: Study,
        patient: Patient,
        audit: AuditEvent,
        *,
        again: bool = False,
        asked_for: str = "",
    ) -> Outcome:
        """Take in one object with its study, patient and audit row, all or none of them.

        Objects that arrive at once may share a commit; none is answered before it.

        Parameters
        ----------
        again : the object was known, and its bytes have not been written again.
        asked_for : the patient that a PACS was asked for, where the object is its answer. Such an
            object no longer says who the patient is, and one of another patient is a conflict.

        Returns
        -------
        "stored" : a new object.
        "duplicate" : the same bytes under the same UID are kept already; only the audit is written.
        "conflict" : other bytes under a known UID, or a study that belongs to another patient.
            Kept beside as a row of state "conflict", never scored, never in place of the first.

        Raises
        ------
        OutOfResourcesError : deleted while it was sent `again`; send it once more.
        NotFoundError : an object of Carina's own, of a study that was deleted meanwhile.
        """
        arrival = Arrival(instance, study, patient, audit, again, asked_for)
        return self._write_together(lambda connection: keep(connection, arrival))

    def kept_under(self, sop_instance_uid: str) -> Kept | None:
        """Where and what the object is in force under a UID; None where there is none."""
        with self._read() as connection:
            row = connection.execute(_KEPT_UNDER, {"asked": sop_instance_uid}).first()
        return None if row is None else Kept(row.object_key, row.sha256, row.size_bytes)

    def instance(self, sop_instance_uid: str) -> Instance:
        """Give the object in force under a UID; NotFoundError where there is none."""
        where = and_(INSTANCES.c.sop_instance_uid == sop_instance_uid, IN_FORCE)
        with self._read() as connection:
            row = connection.execute(select(INSTANCES).where(where)).mappings().first()
        if row is None:
            raise NotFoundError("expected an instance under this SOP Instance UID, found none")
        return payloads.instance(row)

    def under_key(self, object_key: str) -> Instance | None:
        """Give the object whose bytes lie under a key; None where they are no DICOM object."""
        query = select(INSTANCES).where(INSTANCES.c.object_key == object_key)
        with self._read() as connection:
            row = connection.execute(query).mappings().first()
        return payloads.instance(row) if row is not None else None

    def held(self, sop_instance_uids: Sequence[str]) -> frozenset[str]:
        """Give those of these objects that are kept, in force or aside."""
        query = select(INSTANCES.c.sop_instance_uid).distinct()
        where = INSTANCES.c.sop_instance_uid.in_(sop_instance_uids)
        with self._read() as connection:
            return frozenset(connection.execute(query.where(where)).scalars())

    def instances(self, study_uid: str) -> tuple[Instance, ...]:
        """Give the objects in force of a study, in order of arrival."""
        query = select(INSTANCES).where(INSTANCES.c.study_uid == study_uid, IN_FORCE)
        with self._read() as connection:
            rows = connection.execute(query.order_by(INSTANCES.c.number)).mappings()
            return tuple(payloads.instance(row) for row in rows)

    def instances_in(
        self, state: Literal["undecodable", "conflict"], limit: int = 100, offset: int = 0
    ) -> tuple[tuple[Instance, str], ...]:
        """Give the objects in a state, the last received first, each with its study's patient."""
        query = (
            select(INSTANCES, STUDIES.c.patient_id)
            .join(STUDIES, STUDIES.c.study_uid == INSTANCES.c.study_uid)
            .where(INSTANCES.c.state == state)
            .order_by(INSTANCES.c.number.desc())
        )
        with self._read() as connection:
            rows = connection.execute(query.limit(limit).offset(offset)).mappings()
            return tuple((payloads.instance(row), row["patient_id"]) for row in rows)

    def mark_undecodable(self, sop_instance_uid: str) -> None:
        """Note that the pixels of an object cannot be decoded; the object itself stays."""
        where = and_(INSTANCES.c.sop_instance_uid == sop_instance_uid, IN_FORCE)
        with self._write() as connection:
            connection.execute(update(INSTANCES).where(where).values(state="undecodable"))

    def study(self, study_uid: str) -> Study:
        """Give one study; NotFoundError where there is none."""
        with self._read() as connection:
            row = connection.execute(_STUDY, {"asked": study_uid}).mappings().first()
        if row is None:
            raise NotFoundError("expected a study under this Study Instance UID, found none")
        return payloads.study(row)

    def revision(self, study_uid: str) -> int:
        """How many films a study has had; NotFoundError where there is no such study."""
        with self._read() as connection:
            revision = connection.execute(_REVISION, {"asked": study_uid}).scalar()
        if revision is None:
            raise NotFoundError("expected a study under this Study Instance UID, found none")
        return int(revision)

    def studies(
        self, *, patient_id: str | None = None, limit: int = 100, offset: int = 0
    ) -> tuple[Study, ...]:
        """Give the studies, newest first, of one patient or of all."""
        query = select(STUDIES).order_by(*NEWEST_FIRST)
        if patient_id is not None:
            query = query.where(STUDIES.c.patient_id == leads_to(patient_id))
        with self._read() as connection:
            rows = connection.execute(query.limit(limit).offset(offset)).mappings()
            return tuple(payloads.study(row) for row in rows)

    def pending_studies(self, limit: int = 1000) -> tuple[Study, ...]:
        """Give the studies with films that their current result has not seen."""
        query = select(STUDIES).where(STUDIES.c.revision > STUDIES.c.scored_revision).limit(limit)
        with self._read() as connection:
            rows = connection.execute(query.order_by(STUDIES.c.received_at)).mappings()
            return tuple(payloads.study(row) for row in rows)

    def find_studies(
        self, filters: StudyFilter, limit: int = 100, offset: int = 0
    ) -> tuple[StudySummary, ...]:
        """Give the studies that match, newest first, with their patients and what they hold."""
        query = (
            select(STUDIES)
            .join(PATIENTS, PATIENTS.c.patient_id == STUDIES.c.patient_id)
            .where(*_conditions(filters))
            .order_by(*NEWEST_FIRST)
        )
        with self._read() as connection:
            rows = connection.execute(query.limit(limit).offset(offset)).mappings().all()
            return _summaries(connection, tuple(payloads.study(row) for row in rows))

    def patient(self, patient_id: str) -> Patient:
        """Give the patient that an identifier stands for; NotFoundError where there is none."""
        with self._read() as connection:
            query = select(PATIENTS).where(PATIENTS.c.patient_id == leads_to(patient_id))
            row = connection.execute(query).mappings().first()
        if row is None:
            raise NotFoundError("expected a patient under this identifier, found none")
        return payloads.patient(row)

    def put_patient(
        self, patient: Patient, audit: AuditEvent, *, over: Patient | Literal["any"] = "any"
    ) -> bool:
        """Write a patient as the hospital knows them now, ward and admission included.

        Parameters
        ----------
        over : the patient as read before, a bare one where none was known; "any" not to ask.

        Returns
        -------
        False, and nothing is changed, where the patient is no longer as `over` says: read again.
        """
        with self._write() as connection:
            kept = replace(patient, patient_id=make_known(connection, Patient(patient.patient_id)))
            where = PATIENTS.c.patient_id == kept.patient_id
            row = connection.execute(select(PATIENTS).where(where)).mappings().one()
            if over != "any" and payloads.patient(row) != replace(over, patient_id=kept.patient_id):
                return False
            connection.execute(update(PATIENTS).where(where).values(payloads.columns(kept)))
            if kept.is_admitted:
                risk = OUTPATIENT_RISKS.c.patient_id == kept.patient_id
                connection.execute(delete(OUTPATIENT_RISKS).where(risk))
            write_audit(connection, audit)
            write_news(connection, "patient", kept.patient_id, audit.at)
        return True

    def patients(
        self,
        *,
        search: str = "",
        ward: str | None = None,
        admitted: bool | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> tuple[Patient, ...]:
        """Give the patients by identifier; `search` looks in names and identifiers."""
        query = narrowed(select(PATIENTS), search, ward, admitted)
        query = query.order_by(PATIENTS.c.patient_id).limit(limit).offset(offset)
        with self._read() as connection:
            return tuple(payloads.patient(row) for row in connection.execute(query).mappings())

    def wards(self) -> tuple[str, ...]:
        """Give the wards that have admitted patients, by name."""
        query = narrowed(select(PATIENTS.c.ward).distinct(), "", None, admitted=True)
        with self._read() as connection:
            names = connection.execute(query.where(PATIENTS.c.ward != "")).scalars()
            return tuple(sorted(names))


def narrowed(
    query: Select[Any], search: str, ward: str | None, admitted: bool | None
) -> Select[Any]:
    """Narrow a query on patients by words, ward and admission."""
    if search:
        query = query.where(or_(like(PATIENTS.c.name, search), like(PATIENTS.c.patient_id, search)))
    if ward:
        query = query.where(PATIENTS.c.ward == ward)
    if admitted is None:
        return query
    return query.where(ADMITTED if admitted else ~ADMITTED)


def _conditions(filters: StudyFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if _is_pattern(filters.patient_id):
        conditions.append(_wildcard(PATIENTS.c.patient_id, filters.patient_id))
    elif filters.patient_id:
        conditions.append(PATIENTS.c.patient_id == leads_to(filters.patient_id))
    if filters.patient_name:
        conditions.append(_wildcard(PATIENTS.c.name, filters.patient_name))
    if filters.study_uid:
        conditions.append(STUDIES.c.study_uid == filters.study_uid)
    if filters.description:
        conditions.append(_wildcard(STUDIES.c.description, filters.description))
    if _is_pattern(filters.accession_number):
        conditions.append(_wildcard(STUDIES.c.accession_number, filters.accession_number))
    elif filters.accession_number:
        conditions.append(STUDIES.c.accession_number == filters.accession_number)
    # Where it is known, `acquired_at` is `ordered_at`, which has an index.
    for column in (STUDIES.c.acquired_at, STUDIES.c.ordered_at):
        if filters.date_from:
            conditions.append(column >= _midnight(filters.date_from))
        if filters.date_to and filters.date_to < date.max:
            conditions.append(column < _midnight(filters.date_to + timedelta(days=1)))
    if filters.modality:
        holds = and_(
            INSTANCES.c.study_uid == STUDIES.c.study_uid,
            INSTANCES.c.modality.in_(re.split(r"[,\\]", filters.modality)),
            IN_FORCE,
        )
        conditions.append(exists().where(holds))
    return conditions


def _midnight(day: date) -> datetime:
    """When a day began on this machine's clock, the one that answers give the study's date in."""
    try:
        return datetime.combine(day, time.min).astimezone(UTC)
    except (ValueError, OverflowError):  # the first or the last day of the calendar
        return datetime.combine(day, time.min, tzinfo=UTC)


def _summaries(connection: Connection, studies: tuple[Study, ...]) -> tuple[StudySummary, ...]:
    """Add patients and contents to a page of studies with two queries."""
    ids = {study.patient_id for study in studies}
    people = connection.execute(select(PATIENTS).where(PATIENTS.c.patient_id.in_(ids))).mappings()
    patients = {row["patient_id"]: payloads.patient(row) for row in people}
    held: dict[str, list[tuple[str, str]]] = {study.study_uid: [] for study in studies}
    columns = (INSTANCES.c.study_uid, INSTANCES.c.modality, INSTANCES.c.series_uid)
    for row in connection.execute(select(*columns).where(columns[0].in_(held), IN_FORCE)):
        held[row.study_uid].append((row.modality, row.series_uid))
    return tuple(
        StudySummary(
            study=study,
            patient=patients[study.patient_id],
            modalities=tuple(sorted({modality for modality, _ in held[study.study_uid]} - {""})),
            series_count=len({series for _, series in held[study.study_uid]}),
            instance_count=len(held[study.study_uid]),
        )
        for study in studies
    )
