"""A whole API on a real index in a temporary folder, with small models in place of the large."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from models.frame import fit
from models.phantom import draw
from models.radiograph import Radiograph, read_bytes
from models.refusal import Refusal
from models.severity.lungs import lung_field
from models.severity.predict import Severity, SeverityChange
from models.structures.anatomy import STRUCTURES
from models.structures.measures import Measures
from models.structures.predict import Structures
from registration.affine import IDENTITY
from registration.change import ChangeMap
from registration.mapping import follow
from registration.predict import Alignment
from service.api import routes
from service.api.feed import Feed
from service.auth import Auth, hash_password
from service.context import Services
from service.installation import Crew
from service.records import (
    AuditEvent,
    ChangeFinding,
    Instance,
    NewsEvent,
    Patient,
    Role,
    SeverityFinding,
    StructuresFinding,
    Study,
    StudyResult,
    User,
)
from service.risk_record import Companion, RiskInput, RiskRecord
from service.settings import Settings
from service.store.index import Index
from service.store.objects import FileObjects, ObjectStore

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
PASSWORD = "correct horse battery"


def _severity(film: Radiograph, structures: Structures | None = None) -> Severity:
    extent = float(8 * film.pixels.mean())
    return Severity(
        pxs=extent + 1,
        extent=extent,
        extent_low=max(0.0, extent - 1),
        extent_high=min(8.0, extent + 1),
        brixia=extent * 2,
        zones=(extent / 3,) * 6,
        heat=np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8),
        frame=fit(film.pixels.shape, 64),
        field=lung_field(structures or _structures(film)),
        embedding=np.zeros(4, np.float32),
        model="severity-test+0",
    )


def _structures(film: Radiograph) -> Structures:
    probabilities = np.zeros((len(STRUCTURES), 64, 64), np.float32)
    probabilities[0, 16:48, 4:28] = probabilities[1, 16:48, 36:60] = 0.9
    return Structures(
        probabilities,
        fit(film.pixels.shape, 64),
        tuple(n < 2 for n in range(len(STRUCTURES))),
        film.spacing_mm,
        "structures-test+0",
    )


def _check(film: Radiograph) -> None:
    if float(film.pixels.std()) < 0.01:
        raise Refusal("blank", "expected a film with contrast, found none; send another")


def _align(prior: Radiograph, current: Radiograph) -> Alignment:
    shape = current.pixels.shape
    return Alignment(
        status="ok",
        reason="",
        field_px=np.zeros((2, *shape), np.float32),
        mapping=follow(
            fit(prior.pixels.shape, 8), fit(shape, 8), IDENTITY, np.zeros((2, 8, 8), np.float32)
        ),
        warped_prior=np.zeros(shape, np.float32),
        dice_before={"right_lung": 0.8},
        dice_after={"right_lung": 0.9},
        folding_fraction=0.0,
        seconds_label=0.1,
        seconds_align=0.2,
        prior_structures=_structures(prior),
        current_structures=_structures(current),
        difference=np.zeros(shape, np.float32),
        model="registration-test+0",
        change=ChangeMap(np.zeros(shape, np.float32), (), 0.1),
    )


@dataclass(frozen=True)
class SmallModels:
    """Answers of the right form within a millisecond."""

    read: Any = read_bytes
    check: Any = _check
    label: Any = _structures
    score: Any = _severity
    align: Any = _align

    def measure(self, structures: Structures) -> Measures:
        return Measures(0.5, 12000.0, 11000.0, None)

    def change(self, prior: Severity, current: Severity) -> SeverityChange:
        change = current.extent - prior.extent
        return SeverityChange(change, change - 1, change + 1, 0.5, "severity-test+0")


class NoIntake:
    """The API itself takes no objects in."""

    def take(self, data: bytes, **_: Any) -> Any:
        raise AssertionError("the API must not store objects")


@dataclass
class Stage:
    """The API, its parts, and what it told the engine."""

    app: FastAPI
    client: TestClient
    services: Services
    observed: list[str] = field(default_factory=list)

    @property
    def index(self) -> Index:
        return self.services.index

    @property
    def objects(self) -> ObjectStore:
        return self.services.objects

    def headers(self, role: Role = Role.CLINICIAN) -> dict[str, str]:
        user = self.index.user(str(role))
        return {"authorization": f"Bearer {self.services.auth.token(user).value}"}

    def get(self, path: str, role: Role = Role.CLINICIAN, **query: Any) -> Any:
        return self.client.get(path, params=query or None, headers=self.headers(role))

    def send(
        self, method: str, path: str, json: Any, role: Role = Role.CLINICIAN, **query: Any
    ) -> Any:
        return self.client.request(
            method, path, json=json, params=query or None, headers=self.headers(role)
        )

    def upload(self, path: str, role: Role = Role.RESEARCHER, **films: bytes) -> Any:
        files = {name: (f"{name}.png", data, "image/png") for name, data in films.items()}
        return self.client.post(path, files=files, headers=self.headers(role))

    def audits(self, **query: Any) -> list[AuditEvent]:
        """Audit rows, oldest first."""
        return list(reversed(self.index.audits(limit=100_000, **query)))


@pytest.fixture(scope="session")
def ground() -> Iterator[Path]:
    """A folder for many small indexes: in memory where there is such a place, fsync costs there."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def prepared(ground: Path) -> Path:
    """An index with one user for each role, to be copied for each test."""
    file = ground / "carina.sqlite"
    index = Index(f"sqlite:///{file}")
    index.migrate()
    password_hash = hash_password(PASSWORD)
    for role in Role:
        index.add_user(User(str(role), role, password_hash, NOW))
    index.close()
    return file


class CurrentNews:
    """The news of whichever index the services hold now."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def news(self, after: int, limit: int = 100) -> tuple[NewsEvent, ...]:
        return self._services.index.news(after, limit)

    def last_news(self) -> int:
        return self._services.index.last_news()


@pytest.fixture(scope="session")
def house(ground: Path, prepared: Path) -> Stage:
    """The application, built once; each test moves in with an index of its own."""
    app = FastAPI(openapi_url="/api/openapi.json", docs_url=None, redoc_url=None)
    made = Stage(app, TestClient(app, raise_server_exceptions=False), _furnish(ground, prepared))
    feed = Feed(CurrentNews(made.services))
    app.include_router(routes.router(made.services, feed))
    routes.install(app, made.services.settings)
    return made


def _furnish(ground: Path, prepared: Path) -> Services:
    folder = Path(tempfile.mkdtemp(dir=ground))
    shutil.copy(prepared, folder / "carina.sqlite")
    settings = Settings(data_dir=folder, max_request_mb=32, min_free_disk_mb=0)
    index = Index(settings.index_url)
    return Services(
        index=index,
        objects=FileObjects(folder / "objects"),
        ingest=NoIntake(),
        auth=Auth(index, settings, lambda: NOW),
        settings=settings,
        clock=lambda: NOW,
        models=SmallModels(),
        arrived=lambda _: None,
        observed=lambda _: None,
        sending=lambda: None,
        crew=Crew,
    )


def _open(house: Stage, ground: Path, prepared: Path) -> Iterator[Stage]:
    """The house with new furniture; what was there before comes back afterwards."""
    before = {one.name: getattr(house.services, one.name) for one in fields(Services)}
    observed: list[str] = []
    new = replace(_furnish(ground, prepared), observed=observed.append)
    _move_in({one.name: getattr(new, one.name) for one in fields(Services)}, house)
    yield Stage(house.app, house.client, house.services, observed)
    new.index.close()
    shutil.rmtree(new.settings.data_dir)
    _move_in(before, house)


def _move_in(parts: dict[str, Any], house: Stage) -> None:
    for name, part in parts.items():
        object.__setattr__(house.services, name, part)  # frozen for everybody else


@pytest.fixture
def stage(house: Stage, ground: Path, prepared: Path) -> Iterator[Stage]:
    """An empty stage of the test's own."""
    yield from _open(house, ground, prepared)


@pytest.fixture(scope="module")
def scene(house: Stage, ground: Path, prepared: Path) -> Iterator[Stage]:
    """A stage with patient P1, one scored study and one risk, shared by the tests of a module."""
    for made in _open(house, ground, prepared):
        add_study(made)
        add_risk(made)
        yield made


def png(seed: int = 1, extent: float = 3.0, size: int = 256) -> bytes:
    """A drawn film as PNG bytes."""
    out = io.BytesIO()
    pixels = np.rint(draw(seed, extent=extent, size=size).pixels * 255).astype(np.uint8)
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def blank_png() -> bytes:
    """A film without contrast."""
    out = io.BytesIO()
    Image.fromarray(np.full((256, 256), 90, np.uint8)).save(out, "PNG")
    return out.getvalue()


def event(patient_id: str | None = None) -> AuditEvent:
    return AuditEvent(NOW, "system", "receive", "success", patient_id)


def severity(extent: float = 4.0) -> SeverityFinding:
    return SeverityFinding(
        5.0, extent, extent - 0.8, extent + 0.9, 9.0, (1.0, 2.0, 2.0, 1.0, 1.5, 1.5), "severity-1+a"
    )


def structures() -> StructuresFinding:
    return StructuresFinding(
        STRUCTURES,
        (True,) * len(STRUCTURES),
        (100.0,) * len(STRUCTURES),
        0.48,
        15000.0,
        14000.0,
        None,
        "structures-1+b",
    )


def add_study(
    stage: Stage,
    patient_id: str = "P1",
    study_uid: str = "1.2.3",
    at: datetime = NOW - timedelta(hours=5),
    **changes: Any,
) -> StudyResult:
    """A scored study of a patient, with one object and one picture."""
    instance = Instance(
        f"{study_uid}.9",
        "1.2.840.10008.5.1.4.1.1.1",
        f"{study_uid}.8",
        study_uid,
        "1.2.840.10008.1.2.1",
        "aa/bb/x",
        "0" * 64,
        10,
        at,
        "import",
        "CR",
    )
    study = Study(study_uid, patient_id, at, at)
    stage.index.add_instance(instance, study, Patient(patient_id, "DOE^JANE^MARY"), event())
    result = StudyResult(
        result_id=f"r-{study_uid}",
        study_uid=study_uid,
        patient_id=patient_id,
        sop_instance_uid=instance.sop_instance_uid,
        status="ok",
        reason="",
        message="",
        created_at=at + timedelta(seconds=4),
        acquired_at=at,
        severity=severity(),
        structures=structures(),
        change=ChangeFinding(
            "1.2.0", "1.2.0.9", at - timedelta(days=2), 1.5, 0.4, 2.6, 0.97, True, "", 0.8, 0.9,
            0.0, "severity-1+a registration-1+c",
        ),
        artifacts={"film": stage.objects.put(png(size=64), ".png")},
        revision=1,
    )  # fmt: skip
    return stage.index.add_result(replace(result, **changes), event(patient_id))


def add_risk(
    stage: Stage, patient_id: str = "P1", at: datetime = NOW, **changes: Any
) -> RiskRecord:
    """A risk record of a known patient."""
    record = RiskRecord(
        risk_id=f"risk-{patient_id}-{at:%H%M%S}",
        patient_id=patient_id,
        at=at,
        computed_at=at,
        status="ok",
        reason="",
        probability=0.12,
        low=0.06,
        high=0.22,
        baseline_log_odds=-3.0,
        inputs=(
            RiskInput("spo2", "SpO2", 88.0, "%", 0.9, at - timedelta(minutes=20), False, "eICU"),
            RiskInput("age_years", "Age", 70.0, "a", 0.1075, None, False, "eICU"),
        ),
        stale=("temperature",),
        missing=("lactate",),
        companions=(Companion("ROX", 4.2, "medium", "Roca 2019", ()),),
        model="ventilation-1+d",
    )
    changed = replace(record, **changes)
    stage.index.add_risk(changed)
    return changed
