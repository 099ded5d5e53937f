"""Priors are pulled once for a study with an accepted film, and only those of its patient."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian
from structlog.testing import capture_logs

from service.decoding import Decoding, InProcess
from service.dicom.description import Descriptions
from service.dicom.keywords import day_of
from service.dicom.pacs import OfferedFilm, OfferedSeries, OfferedStudy, Question, Take
from service.errors import CarinaError, DeliveryError, OutOfResourcesError, UsageError
from service.jobs import priors
from service.jobs.engine import Engine
from service.jobs.pipeline import run_study
from service.jobs.priors import MOST_ATTEMPTS, Puller
from service.jobs.queues import CRASHED, digest
from service.records import AuditEvent, StudyResult
from service.settings import Settings
from service.store import retrievals
from tests.service.jobs.science import (
    NOW,
    SMALL,
    SMALL_RISK,
    Pacs,
    Ward,
    as_file,
    film,
    outbox,
    refusing,
)

SETTINGS = Settings(priors_pacs="PACS@host:104", priors_most=2)
AUDIT = AuditEvent(NOW, "ada", "merge", "success")


class Archive:
    """A PACS in memory: what it holds, what it was asked, and what breaks.

    Parameters
    ----------
    send : where its films go; None: to who asks, as by WADO-RS.
    """

    name = "PACS@host:104"

    def __init__(self, *films: Dataset) -> None:
        self.films_held = list(films)
        self.offers_all = False
        self.error: Exception | None = None
        self.broken: set[str] = set()
        self.asked: list[Question] = []
        self.moved: list[str] = []
        self.send: Callable[[Dataset], None] | None = None

    def studies(self, question: Question) -> tuple[OfferedStudy, ...]:
        self.asked.append(question)
        if self.error is not None:
            raise self.error
        return tuple(
            OfferedStudy(
                ds.StudyInstanceUID, ds.PatientID, "", day_of(ds.StudyDate), (ds.Modality,)
            )
            for ds in self.films_held
            if self.offers_all or ds.PatientID == question.patient_id
        )

    def series(self, study_uid: str) -> tuple[OfferedSeries, ...]:
        return tuple(OfferedSeries(ds.SeriesInstanceUID, ds.Modality, ds.BodyPartExamined)
                     for ds in self.films_held if ds.StudyInstanceUID == study_uid)  # fmt: skip

    def films(self, study_uid: str, series_uid: str) -> tuple[OfferedFilm, ...]:
        return tuple(OfferedFilm(study_uid, series_uid, ds.SOPInstanceUID)
                     for ds in self.films_held if ds.SeriesInstanceUID == series_uid)  # fmt: skip

    def retrieve(self, films: Sequence[OfferedFilm], take: Take) -> None:
        for ds in self.films_held:
            if ds.SOPInstanceUID in {one.sop_instance_uid for one in films}:
                if ds.StudyInstanceUID in self.broken:
                    raise DeliveryError("expected a film, found none")
                self.moved.append(ds.SOPInstanceUID)
                if self.send is None:
                    take(as_file(ds))
                else:
                    self.send(ds)


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    ward = Ward(tmp_path)
    yield ward
    ward.index.close()


def judge(ward: Ward, study: str) -> StudyResult:
    result = run_study(study, ward.index, ward.objects, SMALL, NOW)
    assert result is not None
    return result


def arrived(ward: Ward, **tags: str) -> str:
    """A study with an accepted film."""
    study = ward.take(film(**tags))  # type: ignore[arg-type]  # all of them are text
    judge(ward, study)
    return study


def pull(
    ward: Ward,
    study: str,
    archive: Archive,
    settings: Settings = SETTINGS,
    decoding: Decoding | None = None,
) -> None:
    def take(data: bytes) -> None:
        ward.ingest.take(data, source="pull", actor=retrievals.ACTOR, pulled=True)

    puller = Puller(archive, take, settings.priors_most, settings.priors_days)
    descriptions = Descriptions(ward.index, ward.objects, decoding or InProcess())
    priors.pull(study, ward.index, descriptions, puller, NOW)


def is_due(ward: Ward, study: str) -> bool:
    return priors.is_due(study, ward.index, SETTINGS)


def held(ward: Ward, patient_id: str) -> set[str]:
    return {one.study_uid for one in ward.index.studies(patient_id=patient_id)}


def test_only_a_study_with_an_accepted_film_and_few_priors_is_asked_for_and_once(
    ward: Ward,
) -> None:
    refused = ward.take(film(patient_id="P2"))
    assert not is_due(ward, refused)
    run_study(refused, ward.index, ward.objects, refusing("not_chest"), NOW)
    assert not is_due(ward, refused)
    study = arrived(ward)
    assert is_due(ward, study)
    assert not priors.is_due(study, ward.index, Settings())
    pull(ward, study, Archive())
    assert not is_due(ward, study)
    later = [arrived(ward, day=f"2026030{number}") for number in (2, 3)]
    assert [is_due(ward, one) for one in later] == [True, False]  # two priors are enough


def test_so_many_priors_come_as_are_missing_the_newest_first_and_start_no_pull(ward: Ward) -> None:
    days = ("20260101", "20260201", "20251201", "20200101", "20260301")
    films = [film(day=day, grey=0.25) for day in days]
    study = arrived(ward)
    pull(ward, study, Archive(*films))
    newest = {films[0].StudyInstanceUID, films[1].StudyInstanceUID}
    assert held(ward, "P1") == {study, *newest}
    for prior in newest:
        judge(ward, prior)
        assert not is_due(ward, prior)
    compared = judge(ward, study)
    assert compared.prior_sop_instance_uid == films[1].SOPInstanceUID
    assert {one.action for one in ward.index.audits(actor=retrievals.ACTOR)} == {
        "query", "retrieve", "receive",
    }  # fmt: skip


def test_a_prior_delivered_under_another_patient_id_is_not_filed_here_and_starts_no_pull(
    ward: Ward,
) -> None:
    prior = film(day="20260201")
    archive = Archive(prior)

    def send(ds: Dataset) -> None:  # a PACS that does not say on whose behalf it sends
        ds.PatientID = "P1-NORTH"
        ward.take(ds)

    archive.send = send
    study = arrived(ward)
    pull(ward, study, archive)
    assert held(ward, "P1") == {study}
    assert held(ward, "P1-NORTH") == {prior.StudyInstanceUID}
    judge(ward, prior.StudyInstanceUID)
    assert not is_due(ward, prior.StudyInstanceUID)


def test_a_prior_starts_no_pull_after_its_patient_was_merged(ward: Ward) -> None:
    prior = film(day="20260201")
    study = arrived(ward)
    pull(ward, study, Archive(prior))
    judge(ward, prior.StudyInstanceUID)
    arrived(ward, patient_id="P2", day="20260220")
    ward.index.merge_patients("P1", "P2", "one person", AUDIT)
    judge(ward, prior.StudyInstanceUID)
    assert not is_due(ward, prior.StudyInstanceUID)


def test_a_prior_under_the_old_identifier_of_a_merged_patient_is_the_patients(ward: Ward) -> None:
    study = arrived(ward)
    arrived(ward, patient_id="P2", day="20260302")
    ward.index.merge_patients("P1", "P2", "one person", AUDIT)
    prior = film(day="20260201")
    archive = Archive(prior)
    pull(ward, study, archive)
    assert archive.asked[0].patient_id == "P1"  # as the film says, and the PACS knows
    assert ward.index.study(prior.StudyInstanceUID).patient_id == "P2"
    assert ward.index.instances_in("conflict") == ()


def test_a_film_of_another_patient_that_comes_back_is_set_aside_and_told_once(ward: Ward) -> None:
    prior, stranger = film(day="20260201"), film(day="20260202", patient_id="P1")
    archive = Archive(prior, stranger)
    arrived(ward, patient_id="P2", day="20260105")
    study = arrived(ward)

    def send(ds: Dataset) -> None:
        if ds is stranger:
            ds.PatientID, ds.PatientName = "P2", "Other^Name"
        ward.ingest.take(as_file(ds), source="c-store:PACS", actor="PACS", pulled=True)

    archive.send = send
    archive.broken = {prior.StudyInstanceUID}
    for _ in range(2):
        with pytest.raises(DeliveryError):
            pull(ward, study, archive)
        stranger.PatientID = "P1"
    assert held(ward, "P1") == {study}
    uid = stranger.SOPInstanceUID
    assert [one.sop_instance_uid for one, _patient in ward.index.instances_in("conflict")] == [uid]
    told = ward.index.audits(study_uid=stranger.StudyInstanceUID, action="conflict")
    assert [one.outcome for one in told] == ["failure"]
    assert archive.moved == [uid]  # not asked for again
    assert ward.index.patient("P2").name == "Doe^Jane"

    stranger.PatientID = "P2"
    ward.take(stranger)  # sent by itself as what it is
    assert ward.index.instance(uid).study_uid == stranger.StudyInstanceUID
    assert ward.index.study(stranger.StudyInstanceUID).revision == 1


def test_studies_offered_of_another_patient_are_told_once_and_not_retrieved(ward: Ward) -> None:
    stranger, prior = film(day="20260202", patient_id="P2"), film(day="20260201")
    archive = Archive(stranger, prior)
    archive.offers_all = True
    archive.broken = {prior.StudyInstanceUID}
    study = arrived(ward)
    for _ in range(2):
        with pytest.raises(DeliveryError):
            pull(ward, study, archive)
    archive.broken = set()
    pull(ward, study, archive)
    (told,) = ward.index.audits(study_uid=stranger.StudyInstanceUID)
    assert (told.action, told.outcome, told.patient_id) == ("retrieve", "failure", "P1")
    assert archive.moved == [prior.SOPInstanceUID]


def test_one_prior_that_cannot_be_had_does_not_keep_the_other(ward: Ward) -> None:
    newer, older = film(day="20260201"), film(day="20260101")
    archive = Archive(newer, older)
    archive.broken = {newer.StudyInstanceUID}
    study = arrived(ward)
    for _ in range(2):
        with pytest.raises(DeliveryError):
            pull(ward, study, archive)
    assert archive.moved == [older.SOPInstanceUID]
    assert is_due(ward, study)
    archive.broken = set()
    judge(ward, older.StudyInstanceUID)  # is known by now, and does not take the other's place
    pull(ward, study, archive)
    assert archive.moved == [older.SOPInstanceUID, newer.SOPInstanceUID]


def test_a_prior_that_does_not_arrive_is_tried_again(ward: Ward) -> None:
    archive = Archive(film(day="20260201"))
    archive.send = lambda _ds: None  # acknowledged, and lost on the way
    study = arrived(ward)
    with pytest.raises(DeliveryError, match="1 of them not arrived"):
        pull(ward, study, archive)
    assert is_due(ward, study)


def test_what_was_deleted_here_or_came_by_itself_is_not_pulled(ward: Ward) -> None:
    deleted, pushed = film(day="20260201"), film(day="20260202")
    ward.index.delete_study(ward.take(deleted), "wrong patient", AUDIT)
    ward.take(pushed)  # not scored yet
    archive = Archive(deleted, pushed)
    pull(ward, arrived(ward), archive)
    assert archive.moved == []


class Bounded(InProcess):
    """Counts the headers that are left to it."""

    headers = 0

    def header(self, data: bytes, only: Collection[int] = ()) -> dict[str, dict[str, Any]]:
        self.headers += 1
        return super().header(data, only)


def test_a_header_that_only_a_bounded_process_may_read_is_left_to_it(ward: Ward) -> None:
    deflated, bounded, archive = film(), Bounded(), Archive()
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    deflated.IssuerOfPatientID = "WARD"
    study = ward.take(deflated)
    judge(ward, study)
    pull(ward, study, archive, decoding=bounded)
    assert bounded.headers == 1
    assert [(one.patient_id, one.issuer) for one in archive.asked] == [("P1", "WARD")]


def test_a_patient_who_cannot_be_asked_for_is_not(ward: Ward) -> None:
    archive = Archive()
    with pytest.raises(UsageError, match="Patient ID"):
        pull(ward, arrived(ward, patient_id="P*"), archive)
    unknown = arrived(ward, patient_id="")
    pull(ward, unknown, archive)
    assert archive.asked == []
    assert not is_due(ward, unknown)


@pytest.mark.parametrize("address", ["somewhere", "PACS@host:0", "PACS@host:104/web"])
def test_an_address_that_cannot_be_one_is_told_at_start(
    ward: Ward, tmp_path: Path, address: str
) -> None:
    settings = Settings(data_dir=tmp_path, priors_pacs=address)
    with pytest.raises(UsageError, match="CARINA_PRIORS_PACS"):
        Engine(settings, ward.index, ward.objects, SMALL).start()


ERRORS = (
    DeliveryError("expected an answer"),
    UsageError("expected a Patient ID"),
    OutOfResourcesError("expected room on the disk"),
    RuntimeError("DOE^JANE"),
)


@pytest.fixture
def engine(ward: Ward, tmp_path: Path) -> Iterator[Engine]:
    """An engine that only enqueues: its jobs are done by hand."""
    settings = SETTINGS.model_copy(update={"data_dir": tmp_path})
    made = Engine(settings, ward.index, ward.objects, SMALL, role="enqueue",
                  risk_models=SMALL_RISK, outbox=outbox(Pacs()), pacs=Archive(),
                  clock=lambda: NOW)  # fmt: skip
    made.start()
    yield made
    made.stop(grace_s=0)


def jobs(tmp_path: Path) -> list[tuple[str, str]]:
    """Name and status of the pulls in the queue."""
    with sqlite3.connect(tmp_path / "jobs.sqlite", timeout=30) as held_jobs:
        found = held_jobs.execute(
            "SELECT workflow_uuid, status FROM workflow_status WHERE name = 'carina_priors'"
            " ORDER BY workflow_uuid"
        ).fetchall()
    held_jobs.close()
    return found


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_giving_up_is_told_whatever_failed_and_blocks_no_later_pull(
    ward: Ward, engine: Engine, tmp_path: Path, error: Exception
) -> None:
    study = arrived(ward)
    archive = Archive(film(day="20260201"))
    archive.error = error
    engine._pacs = archive
    last = 1 if isinstance(error, UsageError) else MOST_ATTEMPTS
    with capture_logs() as logs:
        engine.pull_priors(study, "chain", last)
    assert "JANE" not in str(logs)
    assert jobs(tmp_path) == []
    (told,) = ward.index.audits(actor=retrievals.ACTOR, study_uid=study)
    assert (told.action, told.outcome) == ("query", "failure")
    assert told.detail.startswith("given up: ")
    assert "JANE" not in told.detail
    archive.error = None
    engine._priors_due(study, "next result")
    assert len(jobs(tmp_path)) == 1
    engine.pull_priors(study, "chain", 1)
    assert len(archive.moved) == 1


def test_a_pacs_that_is_away_is_asked_again_later_by_one_job(
    ward: Ward, engine: Engine, tmp_path: Path
) -> None:
    study = arrived(ward)
    archive = Archive()
    archive.error = ERRORS[0]
    engine._pacs = archive
    engine.pull_priors(study, f"priors-{digest(study)}-1", 1)
    ((name, status),) = jobs(tmp_path)
    assert (name[-2:], status) == ("-2", "DELAYED")
    assert ward.index.audits(actor=retrievals.ACTOR) == ()
    engine.follow(study, "another result")
    assert jobs(tmp_path) == [(name, "DELAYED")]


def test_a_pull_that_ends_the_process_again_and_again_is_given_up_and_told(
    ward: Ward, engine: Engine, tmp_path: Path
) -> None:
    study = arrived(ward)
    engine.follow(study, "first")
    with sqlite3.connect(tmp_path / "jobs.sqlite", timeout=30) as held_jobs:
        held_jobs.execute(
            "UPDATE workflow_status SET status = ? WHERE name = 'carina_priors'",
            (CRASHED,),
        )
    held_jobs.close()
    engine.recover()
    engine.recover()
    (told,) = ward.index.audits(actor=retrievals.ACTOR, study_uid=study)
    assert told.detail == "given up: its job broke, see the log"
    assert jobs(tmp_path) == []


def test_errors_of_our_own_are_told_as_they_are() -> None:
    assert all(priors.plainly(one, "x") is one for one in ERRORS if isinstance(one, CarinaError))
