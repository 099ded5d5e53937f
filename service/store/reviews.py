"""What readers say of results: labels beside them, one in force for each reader and study."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, and_, exists, insert, select, update

from service.errors import ConflictError, NotFoundError
from service.records import AuditEvent, Patient, Review, ReviewCase
from service.store import payloads
from service.store.database import Database
from service.store.identifiers import leads_to, lock_patient
from service.store.images import NEWEST_FIRST
from service.store.journal import write_audit, write_news
from service.store.results import CURRENT
from service.store.tables import PATIENTS, RESULTS, REVIEWS, STUDIES

IN_FORCE = REVIEWS.c.superseded_by.is_(None)


class Reviews(Database):
    """Reviews of results; append-only, and no result is ever changed by one."""

    def add_review(self, review: Review, audit: AuditEvent) -> Review:
        """Keep a review; the same reader's earlier one of the study stays, superseded.

        Raises
        ------
        NotFoundError : the result is none of this study and patient.
        ConflictError : a review of this identifier is there already.
        """
        with self._write() as connection:
            lock_patient(connection, review.patient_id)
            _insist_on_result(connection, review)
            known = select(REVIEWS.c.number).where(REVIEWS.c.review_id == review.review_id)
            if connection.execute(known).first() is not None:
                raise ConflictError("expected a new review, found one under this identifier")
            connection.execute(
                update(REVIEWS)
                .where(
                    REVIEWS.c.study_uid == review.study_uid,
                    REVIEWS.c.reader == review.reader,
                    IN_FORCE,
                )
                .values(superseded_by=review.review_id)
            )
            connection.execute(insert(REVIEWS).values(payloads.review_columns(review)))
            write_audit(connection, audit)
            write_news(connection, "study", review.patient_id, review.at)
        return review

    def review(self, review_id: str) -> Review:
        """Give one review, in force or not; NotFoundError where there is none."""
        with self._read() as connection:
            query = select(REVIEWS).where(REVIEWS.c.review_id == review_id)
            row = connection.execute(query).mappings().first()
        if row is None:
            raise NotFoundError("expected a review under this identifier, found none")
        return payloads.review(row)

    def reviews(
        self,
        *,
        study_uid: str | None = None,
        patient_id: str | None = None,
        superseded: bool = False,
    ) -> tuple[Review, ...]:
        """Give reviews in the order in which they came: those in force, or all of them."""
        query = select(REVIEWS).order_by(REVIEWS.c.number)
        if study_uid is not None:
            query = query.where(REVIEWS.c.study_uid == study_uid)
        if patient_id is not None:
            query = query.where(REVIEWS.c.patient_id == leads_to(patient_id))
        if not superseded:
            query = query.where(IN_FORCE)
        with self._read() as connection:
            return tuple(payloads.review(row) for row in connection.execute(query).mappings())

    def review_cases(self, limit: int) -> tuple[ReviewCase, ...]:
        """Give the newest studies that have a result, newest first, with their reviews in force."""
        shown = and_(CURRENT, RESULTS.c.status.in_(("ok", "refused")))
        has_one = exists().where(RESULTS.c.study_uid == STUDIES.c.study_uid, shown)
        newest = select(STUDIES.c.study_uid).where(has_one).order_by(*NEWEST_FIRST).limit(limit)
        with self._read() as connection:
            uids = connection.execute(newest).scalars().all()
            query = select(RESULTS).where(RESULTS.c.study_uid.in_(uids), shown)
            rows = connection.execute(query).mappings()
            by_study = {row["study_uid"]: payloads.result(row) for row in rows}
            results = [by_study[uid] for uid in uids]
            patients = _patients(connection, {one.patient_id for one in results})
            held = _held(connection, {one.study_uid for one in results})
        return tuple(
            ReviewCase(patients[one.patient_id], one, tuple(held.get(one.study_uid, ())))
            for one in results
        )


def _patients(connection: Connection, ids: Collection[str]) -> dict[str, Patient]:
    query = select(PATIENTS).where(PATIENTS.c.patient_id.in_(ids))
    found = (payloads.patient(row) for row in connection.execute(query).mappings())
    return {one.patient_id: one for one in found}


def _held(connection: Connection, study_uids: Collection[str]) -> dict[str, list[Review]]:
    """The reviews in force of some studies."""
    query = select(REVIEWS).where(REVIEWS.c.study_uid.in_(study_uids), IN_FORCE)
    found: dict[str, list[Review]] = {}
    for row in connection.execute(query.order_by(REVIEWS.c.number)).mappings():
        found.setdefault(row["study_uid"], []).append(payloads.review(row))
    return found


def _insist_on_result(connection: Connection, review: Review) -> None:
    query = select(RESULTS.c.result_id).where(
        RESULTS.c.result_id == review.result_id,
        RESULTS.c.study_uid == review.study_uid,
        RESULTS.c.patient_id == review.patient_id,
    )
    if connection.execute(query).first() is None:
        raise NotFoundError("expected a result of this study to review, found none")
