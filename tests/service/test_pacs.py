"""Orthanc as the PACS: it forwards studies, changes a name, takes reports and gives priors."""

from __future__ import annotations

import io
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta

import pytest
from fastapi import FastAPI, Request
from pydicom import Dataset, dcmread

from service.api.problems import install_error_handlers
from service.dicom import listener, web
from service.dicom.ingest import Ingest
from service.errors import NotAuthenticatedError
from service.jobs import priors
from service.jobs.delivery import default_outbox
from service.jobs.engine import Engine, clock
from service.jobs.queues import digest
from service.records import Role, StudyResult, User
from service.settings import Settings
from service.store import retrievals
from service.store.index import Index
from service.store.objects import FileObjects
from tests import orthanc
from tests.orthanc import Orthanc
from tests.service.jobs.science import SMALL, SMALL_RISK, as_file, film
from tests.service.served import served

pytestmark = [pytest.mark.peer, pytest.mark.timeout(120)]
TODAY = date.today()


def until(look: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}, in vain"
        time.sleep(0.02)


@dataclass
class Service:
    """A Carina of small models whose ports the PACS knows."""

    settings: Settings
    index: Index
    engine: Engine

    def result(self, study_uid: str) -> StudyResult | None:
        return self.index.current_result(study_uid)

    def judged(self, study_uid: str, films: int) -> bool:
        """Whether the result in force has seen so many films."""
        result = self.result(study_uid)
        return result is not None and result.revision == films

    def compared(self, study_uid: str, prior: Dataset) -> bool:
        """Whether the result in force looked at this prior."""
        result = self.result(study_uid)
        return result is not None and result.prior_sop_instance_uid == prior.SOPInstanceUID

    def waits(self, job: str) -> bool:
        """Whether a job whose name begins so waits for its time."""
        with self.engine.queues.asked() as queue:
            return bool(queue.list_workflows(workflow_id_prefix=job, status="DELAYED"))

    def pull_from(self, pacs: str) -> None:
        """Pull priors from this address from now on."""
        self.engine._pacs = priors.default_pacs(
            self.settings.model_copy(update={"priors_pacs": pacs})
        )


def _user(request: Request) -> User:
    if request.headers.get("authorization") != "Bearer good":
        raise NotAuthenticatedError("log in first")
    return User("pacs", Role.RADIOLOGIST, "", clock())


@contextmanager
def _pages(index: Index, objects: FileObjects, ingest: Ingest) -> Iterator[str]:
    """DICOMweb on a free port."""
    app = FastAPI()
    app.include_router(web.router(index, objects, ingest, _user))
    install_error_handlers(app)
    with served(app) as address:
        yield f"{address}/dicom-web/"


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc.running(tmp_path_factory.mktemp("pacs"), dicom_web=True) as peer:
        yield peer


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, pacs: Orthanc) -> Iterator[Service]:
    """A running service that the PACS forwards to, and whose results it takes."""
    folder = tmp_path_factory.mktemp("carina")
    settings = Settings(
        data_dir=folder, dicom_host="127.0.0.1", dicom_port=0, min_free_disk_mb=1,
        destinations=(pacs.destination,), priors_pacs=pacs.destination, priors_most=1,
        allowed_ae_titles=(pacs.ae_title,),
    )  # fmt: skip
    with ExitStack() as stack:
        index = Index(settings.index_url)
        stack.callback(index.close)
        index.migrate()
        objects = FileObjects(folder / "objects")
        engine = Engine(settings, index, objects, SMALL, risk_models=SMALL_RISK,
                        outbox=default_outbox(settings))  # fmt: skip
        engine.start()
        stack.callback(engine.stop, grace_s=0)
        ingest = Ingest(index, objects, engine.study_arrived, clock, min_free_disk_mb=1)
        port = listener.serve(settings, ingest)
        stack.callback(port.stop)
        url = stack.enter_context(_pages(index, objects, ingest))
        node = {"AET": "CARINA", "Host": "127.0.0.1", "Port": port.port}
        pacs.ask("PUT", "/modalities/carina", node)
        server = {"Url": url, "HttpHeaders": {"Authorization": "Bearer good"}}
        pacs.ask("PUT", "/dicom-web/servers/carina", server)
        yield Service(settings, index, engine)


def day(ago: int) -> str:
    return f"{TODAY - timedelta(days=ago):%Y%m%d}"


def uploaded(pacs: Orthanc, *films: Dataset) -> str:
    """The Orthanc identifier of the study of some films."""
    for ds in films:
        found = pacs.upload(as_file(ds))
    return str(pacs.ask("GET", f"/instances/{found}/study")["ID"])


def five_films(patient_id: str) -> list[Dataset]:
    """One study: a frontal film and four that are not."""
    first = film(patient_id=patient_id, day=day(0))
    lateral = {"view": "LATERAL", "corner": 0.0, "day": day(0), "patient_id": patient_id}
    return [first, *(film(study_uid=first.StudyInstanceUID, **lateral) for _ in range(4))]


def modalities(pacs: Orthanc, study: str) -> Counter[str]:
    """What the PACS lists under a study."""
    series = pacs.ask("GET", f"/studies/{study}/series")
    return Counter(str(one["MainDicomTags"]["Modality"]) for one in series)


def store(pacs: Orthanc, study: str) -> None:
    pacs.ask("POST", "/modalities/carina/store", study.encode())


def stow(pacs: Orthanc, study: str) -> None:
    pacs.ask("POST", "/dicom-web/servers/carina/stow", {"Resources": [study]})


@pytest.mark.parametrize("forward", [store, stow])
def test_a_forwarded_study_of_five_films_is_judged_once_and_its_sr_and_seg_come_back(
    service: Service, pacs: Orthanc, forward: Callable[[Orthanc, str], None]
) -> None:
    films = five_films(f"FIVE-{forward.__name__}")
    study = uploaded(pacs, *films)
    forward(pacs, study)
    uid = films[0].StudyInstanceUID
    until(lambda: service.judged(uid, 5), "a result that has seen five films")
    result = service.result(uid)
    assert result is not None
    assert (result.status, result.sop_instance_uid) == ("ok", films[0].SOPInstanceUID)
    until(lambda: modalities(pacs, study) == {"CR": 5, "SR": 1, "SEG": 1}, "SR and SEG in the PACS")
    until(lambda: {d.state for d in service.index.deliveries()} == {"delivered"}, "deliveries")


def change_name(pacs: Orthanc, study: str, name: str) -> None:
    """Change the patient's name on the film of a study, which keeps its UIDs."""
    keep = ["SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"]
    body = {"Replace": {"PatientName": name}, "Keep": keep, "Force": True}
    for one in pacs.ask("GET", f"/studies/{study}/instances"):
        if dcmread(io.BytesIO(pacs.file(one["ID"]))).Modality == "CR":
            pacs.upload(pacs.modified(one["ID"], body))


def test_a_changed_name_under_the_same_uids_is_kept_aside_and_told(
    service: Service, pacs: Orthanc
) -> None:
    ds = film(patient_id="RENAMED", day=day(0))
    study = uploaded(pacs, ds)
    store(pacs, study)
    until(lambda: service.judged(ds.StudyInstanceUID, 1), "a result")
    until(lambda: modalities(pacs, study).total() == 3, "SR and SEG in the PACS")
    change_name(pacs, study, "Roe^Jane")
    store(pacs, study)
    kept_aside = [one for one, _patient in service.index.instances_in("conflict")]
    in_study = [one for one in kept_aside if one.study_uid == ds.StudyInstanceUID]
    (aside,) = in_study  # SR and SEG came back as they were
    assert aside.sop_instance_uid == ds.SOPInstanceUID
    assert aside.sha256 != service.index.instance(ds.SOPInstanceUID).sha256
    (told,) = service.index.audits(study_uid=ds.StudyInstanceUID, action="conflict")
    assert told.outcome == "failure"
    assert service.judged(ds.StudyInstanceUID, 1)
    store(pacs, study)
    assert len(service.index.audits(study_uid=ds.StudyInstanceUID, action="conflict")) == 1


def test_a_changed_name_under_new_uids_is_a_new_study_and_the_patient_has_that_name(
    service: Service, pacs: Orthanc
) -> None:
    ds = film(patient_id="MARRIED", day=day(0))
    study = uploaded(pacs, ds)
    store(pacs, study)
    until(lambda: service.judged(ds.StudyInstanceUID, 1), "a result")
    assert service.index.patient("MARRIED").name == "Doe^Jane"
    body = {"Replace": {"PatientName": "Roe^Jane"}}
    made = str(pacs.ask("POST", f"/studies/{study}/modify", body)["ID"])
    uid = str(pacs.ask("GET", f"/studies/{made}")["MainDicomTags"]["StudyInstanceUID"])
    assert uid != ds.StudyInstanceUID
    store(pacs, made)
    until(lambda: service.judged(uid, 1), "a result of the changed study")
    assert service.index.patient("MARRIED").name == "Roe^Jane"
    held = {one.study_uid for one in service.index.studies(patient_id="MARRIED")}
    assert held == {ds.StudyInstanceUID, uid}


@pytest.mark.parametrize("way", ["C-MOVE", "WADO-RS"])
def test_a_prior_is_pulled_and_the_result_amended(
    service: Service, pacs: Orthanc, way: str
) -> None:
    service.pull_from(pacs.destination if way == "C-MOVE" else pacs.dicom_web)
    patient = f"PRIOR-{way}"
    prior = film(patient_id=patient, day=day(30), grey=0.25)
    prior.PatientName = "Maiden^Jane"
    hand = film(patient_id=patient, day=day(10))
    hand.BodyPartExamined = "HAND"
    other = film(patient_id=f"{patient}-2", day=day(20))
    old = film(patient_id=patient, day=day(3000))
    lateral = film(patient_id=patient, study_uid=prior.StudyInstanceUID, day=day(30), corner=0.0,
                   view="LATERAL")  # fmt: skip
    lateral.SeriesInstanceUID = prior.SeriesInstanceUID
    for ds in (prior, lateral, hand, other, old):
        pacs.upload(as_file(ds))
    current = film(patient_id=patient, day=day(0))
    study = uploaded(pacs, current)
    store(pacs, study)
    uid = current.StudyInstanceUID

    until(lambda: service.compared(uid, prior), "a result that is compared with the pulled prior")
    assert service.index.results(uid)[0].prior_sop_instance_uid is None
    held = {one.study_uid for one in service.index.studies(patient_id=patient)}
    assert held == {uid, prior.StudyInstanceUID}
    assert service.index.patient(patient).name == "Doe^Jane"  # as the newest film says
    source = service.index.instance(prior.SOPInstanceUID).source
    assert source == ("c-store:ORTHANC" if way == "C-MOVE" else "pull")
    until(lambda: retrievals.was_asked(service.index, uid), "the audit of the query")
    assert not retrievals.was_asked(service.index, prior.StudyInstanceUID)
    reported = service.index.results(prior.StudyInstanceUID)
    until(lambda: len(service.index.instances(prior.StudyInstanceUID)) == 4, "its SR and SEG")
    assert [service.index.deliveries(one.result_id) for one in reported] == [()] * len(reported)


@pytest.mark.slow
def test_a_pacs_that_was_away_is_asked_again_while_the_score_stands(
    service: Service, pacs: Orthanc
) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, not listening: refuses connections
        service.pull_from(f"AWAY@127.0.0.1:{held.getsockname()[1]}")
        prior = film(patient_id="AWAY", day=day(30))
        pacs.upload(as_file(prior))
        current = film(patient_id="AWAY", day=day(0))
        store(pacs, uploaded(pacs, current))
        uid = current.StudyInstanceUID
        until(lambda: service.judged(uid, 1), "a result")
        waiting = f"priors-{digest(uid)}"
        until(lambda: service.waits(waiting), "the second attempt in the queue")
    service.pull_from(pacs.destination)
    until(lambda: service.compared(uid, prior), "a comparison with the prior", seconds=60)
