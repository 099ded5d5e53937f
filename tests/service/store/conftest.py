"""An index and its object store, for the tests of what moves and what is deleted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest

from service.errors import NotFoundError
from service.records import (
    AuditEvent,
    ChangeFinding,
    Instance,
    Observation,
    Patient,
    Study,
    StudyResult,
)
from service.risk_record import RiskRecord
from service.store.index import Index
from service.store.objects import ObjectStore, open_objects
from service.store.tables import METADATA

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
DAY = timedelta(days=1)
CR = "1.2.840.10008.5.1.4.1.1.1"
SR = "1.2.840.10008.5.1.4.1.1.88.33"


@dataclass(frozen=True)
class House:
    """What a ward has sent, in short words."""

    index: Index
    objects: ObjectStore

    def film(self, study: str, patient: str, at: datetime = NOW, **changed: Any) -> Instance:
        """One received object of a study; its bytes are kept."""
        data = f"{study} {patient} {changed}".encode()
        one = Instance(
            f"{study}.1", CR, f"{study}.0", study, "1.2.840.10008.1.2.1",
            self.objects.put(data, ".dcm"), sha256(data).hexdigest(), len(data), at,
            "c-store:PACS", "CR",
        )  # fmt: skip
        one = replace(one, **changed)
        audit = AuditEvent(at, "PACS", "receive", "success", patient, study)
        self.index.add_instance(one, Study(study, patient, at, at), Patient(patient), audit)
        return one

    def result(self, study: str, prior: str | None = None) -> StudyResult:
        """The result of a study's films, compared with the film of another study."""
        found = self.index.study(study)
        change, artifacts = None, {"film": self.objects.put(b"picture")}
        if prior is not None:
            change = ChangeFinding(prior, f"{prior}.1", None, 1.0, 0.5, 1.5, 0.9, True, "", None,
                                   None, None, "m")  # fmt: skip
            artifacts["aligned_prior"] = self.objects.put(b"prior")
        result = StudyResult(
            f"r-{study}-{found.revision}", study, found.patient_id, f"{study}.1", "ok", "", "",
            found.received_at, found.acquired_at, change=change, artifacts=artifacts,
            revision=found.revision, prior_sop_instance_uid=f"{prior}.1" if prior else None,
        )  # fmt: skip
        return self.index.add_result(result, AuditEvent(NOW, "system", "score", "success"))

    def value(self, patient: str, at: datetime, number: float = 91.0, **changed: Any) -> None:
        """One oxygen saturation."""
        one = Observation(f"{patient}-{at}-{number}", patient, "spo2", number, "%", at, at, "m")
        self.index.add_observations([replace(one, **changed)])

    def risk(self, patient: str, at: datetime, probability: float = 0.1) -> None:
        """One risk."""
        self.index.add_risk(
            RiskRecord(f"{patient}-{at}", patient, at, at, "ok", "", probability, 0.0, 0.5, -3.0,
                       (), (), (), (), "v")
        )  # fmt: skip

    def kept(self, key: str) -> bool:
        """Whether bytes are there."""
        try:
            self.objects.get(key)
        except NotFoundError:
            return False
        return True


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def migrated(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Index]:
    """An index on both databases, without an object store; its tests empty it."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('index') / 'carina.sqlite'}"
    else:
        url = request.getfixturevalue("postgresql_module_url")
    index = Index(url)
    index.migrate()
    yield index
    index.close()


@pytest.fixture(scope="module", params=["sqlite and files", "postgresql and s3"])
def built(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    if request.param == "sqlite and files":
        url, store, endpoint = f"sqlite:///{folder / 'carina.sqlite'}", "", ""
    else:
        url = request.getfixturevalue("postgresql_module_url")
        store, endpoint = "s3://carina/house", request.getfixturevalue("s3_endpoint")
    index = Index(url)
    index.migrate()
    yield House(index, open_objects(store, endpoint, folder / "objects"))
    index.close()


@pytest.fixture
def house(built: House) -> Iterator[House]:
    """An index with its object store, in both set-ups: made once, emptied after each test."""
    yield built
    with built.index._write() as connection:
        for table in reversed(METADATA.sorted_tables):
            connection.execute(table.delete())
