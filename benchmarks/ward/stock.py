"""An index of ten thousand admitted patients, made through the store's own tables."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, create_engine, insert

from models.structures.anatomy import STRUCTURES
from risk.additive import probability
from service.auth import new_user
from service.demo_ward import vitals
from service.jobs.risk import default_risk_models, run_risk
from service.records import (
    AuditEvent,
    ChangeFinding,
    Observation,
    Patient,
    Role,
    SeverityFinding,
    StructuresFinding,
    StudyResult,
)
from service.risk_record import RiskRecord, lacks_core, strongest
from service.settings import Settings
from service.store import payloads
from service.store.index import Index
from service.store.tables import (
    NEWS_COUNTER,
    OBSERVATIONS,
    PATIENTS,
    RESULTS,
    RISKS,
    STUDIES,
    VITALS,
)

USERNAME, PASSWORD = "ward", "a long enough password"
HOURS = 48
WARDS = 40
ROWS_AT_ONCE = 2000
ONSET = timedelta(minutes=4)
SURNAMES = (
    "Alder",
    "Birch",
    "Cedar",
    "Dogwood",
    "Elm",
    "Fir",
    "Ginkgo",
    "Hazel",
    "Ivywood",
    "Larch",
)
GIVEN = ("Ines", "Tomas", "Maja", "Felix", "Rosa", "Jonas", "Lena", "Viktor", "Clara", "Emil")


@dataclass(frozen=True, slots=True)
class Example:
    """What the shipped model said of one course of illness, and the readings behind it."""

    record: RiskRecord
    newest: tuple[Observation, ...]


def patient_id(number: int) -> str:
    """The identifier of a patient by number."""
    return f"N-{number:06d}"


def fill(folder: Path, patients: int) -> float:
    """Make the index of `folder`; gives the seconds that it took."""
    begun = time.perf_counter()
    now = datetime.now(UTC).replace(microsecond=0)
    examples = _examples(folder / "examples.sqlite", now)
    settings = Settings(data_dir=folder)
    index = Index(settings.index_url)
    index.migrate()
    index.add_user(new_user(USERNAME, PASSWORD, Role.CLINICIAN, now))
    index.close()
    chance = random.Random(5)
    engine = create_engine(settings.index_url)
    with engine.begin() as connection:
        for first in range(0, patients, ROWS_AT_ONCE):
            numbers = range(first, min(first + ROWS_AT_ONCE, patients))
            _insert_patients(connection, numbers, examples, chance, now)
        _insert(connection, NEWS_COUNTER, [{"one": 1, "last": 0}])
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA optimize=0x10002")
    engine.dispose()
    return round(time.perf_counter() - begun, 1)


def _examples(file: Path, now: datetime) -> list[Example]:
    """Records of the real size: the shipped model on the courses of the sample ward."""
    index, models, found = Index(f"sqlite:///{file}"), default_risk_models(), []
    index.migrate()
    for course in vitals.COURSES:
        who = Patient(course, birth_date=date(1955, 1, 15), sex="F", admitted_at=now - ONSET * 900)
        index.put_patient(who, _audit(now))
        readings = [_observation(one, now) for one in vitals.readings(course, course, now)]
        index.add_observations(readings, _audit(now))
        record = run_risk(course, index, now, models)
        newest = {one.variable: one for one in index.observations(course)}
        if record is not None and record.probability is not None:
            found.append(Example(record, tuple(newest.values())))
    index.close()
    return found


def _audit(now: datetime) -> AuditEvent:
    return AuditEvent(now, "benchmark", "write", "success")


def _observation(reading: Mapping[str, Any], now: datetime) -> Observation:
    at = datetime.fromisoformat(reading["observed_at"])
    name = f"{reading['patient_id']}-{reading['variable']}-{at:%d%H%M}"
    values = {key: reading[key] for key in ("patient_id", "variable", "value", "unit", "source")}
    return Observation(observation_id=name, observed_at=at, received_at=now, **values)


def _insert_patients(
    connection: Connection,
    numbers: range,
    examples: list[Example],
    chance: random.Random,
    now: datetime,
) -> None:
    """Patients `numbers` with everything that the list shows of them."""
    people, studies, results, risks, observations, pointers = [], [], [], [], [], []
    for number in numbers:
        example = chance.choice(examples)
        course = [
            _moved(example.record, number, hour, chance, now) for hour in range(HOURS, -1, -1)
        ]
        taken = now - timedelta(minutes=chance.randint(20, 4000))
        result = _result(number, chance, taken)
        studies.append(_study(number, taken))
        results.append(payloads.result_columns(result))
        risks += [_lean(one) for one in course[:-1]] + [payloads.risk_columns(course[-1])]
        people.append(_patient(number, course, result, chance, now))
        for place, one in enumerate(example.newest):
            row = payloads.columns(replace(one, patient_id=patient_id(number)))
            key = number * 100 + place
            observations.append(row | {"number": key, "observation_id": f"o{key}"})
            pointers.append({**row, "number": key})
    for table, rows in (
        (PATIENTS, people), (STUDIES, studies), (RESULTS, results), (RISKS, risks),
        (OBSERVATIONS, observations), (VITALS, [_only(VITALS, one) for one in pointers]),
    ):  # fmt: skip
        _insert(connection, table, rows)


def _only(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    return {column.name: row[column.name] for column in table.columns}


def _insert(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    rows = list(rows)
    for part in _parts(rows):
        connection.execute(insert(table), part)


def _parts(rows: list[Mapping[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    for first in range(0, len(rows), 5000):
        yield [dict(row) for row in rows[first : first + 5000]]


def _moved(
    record: RiskRecord, number: int, hour: int, chance: random.Random, now: datetime
) -> RiskRecord:
    """The example an hour of its course earlier, another patient's; its terms still add up."""
    baseline = (record.baseline_log_odds or 0.0) + chance.gauss(0, 0.5) - 0.01 * hour
    total = baseline + sum(one.log_odds for one in record.inputs)
    at = now - timedelta(hours=hour) - ONSET
    return replace(
        record,
        risk_id=f"k{number}-{hour}",
        patient_id=patient_id(number),
        at=at,
        computed_at=at,
        baseline_log_odds=baseline,
        probability=probability(total),
        low=probability(total - 0.6),
        high=probability(total + 0.6),
    )


def _lean(record: RiskRecord) -> dict[str, Any]:
    """A row of the course: the list reads nothing but its probability."""
    bare = replace(record, inputs=(), companions=(), missing=())
    values = {one.name: getattr(bare, one.name) for one in fields(RiskRecord)}
    empty = {name: [] for name in payloads.RISK_JSON}
    return values | empty | {"inputs_sha256": record.risk_id}


def _patient(
    number: int,
    course: list[RiskRecord],
    result: StudyResult,
    chance: random.Random,
    now: datetime,
) -> dict[str, Any]:
    newest, hour_ago = course[-1], course[-2]
    assert newest.probability is not None
    assert hour_ago.probability is not None
    who = Patient(
        patient_id(number),
        f"{chance.choice(SURNAMES)}{number}^{chance.choice(GIVEN)}",
        date(chance.randint(1930, 2005), chance.randint(1, 12), 15),
        chance.choice("FM"),
        f"Ward {number % WARDS:02d}",
        f"{chance.randint(1, 40):02d}",
        now - timedelta(hours=HOURS + chance.randint(1, 400)),
        None,
        now if chance.random() < 0.03 else None,
    )
    return payloads.columns(who) | {
        "risk_id": newest.risk_id,
        "risk_at": newest.at,
        "risk_probability": newest.probability,
        "risk_change": newest.probability - hour_ago.probability,
        "newest_result_id": result.result_id,
        "newest_extent": result.severity.extent if result.severity else None,
        "newest_status": result.status,
        "newest_at": result.acquired_at,
        "newest_trend": result.change.extent_change if result.change else None,
        "newest_worse": bool(result.change and result.change.low > 0),
        "risk_reason": strongest(newest.inputs),
        "risk_doubtful": bool(newest.stale) or lacks_core(newest.missing),
    }


def _study(number: int, taken: datetime) -> dict[str, Any]:
    return {
        "study_uid": f"1.2.3.{number}",
        "patient_id": patient_id(number),
        "acquired_at": taken,
        "received_at": taken,
        "ordered_at": taken,
        "revision": 1,
        "scored_revision": 1,
    }


def _result(number: int, chance: random.Random, taken: datetime) -> StudyResult:
    """A film's result of the real size; one in twenty is refused."""
    study = f"1.2.3.{number}"
    bare = StudyResult(
        f"r{number}", study, patient_id(number), f"{study}.1", "refused", "not_frontal",
        "expected a frontal chest film, found a lateral view", taken, taken,
        artifacts={"film": f"{number:04d}/film"}, revision=1,
    )  # fmt: skip
    if chance.random() < 0.05:
        return bare
    extent = chance.uniform(0, 8)
    zones = tuple(round(chance.uniform(0, 3), 1) for _ in range(6))
    moved = chance.gauss(0, 1.5)
    return replace(
        bare,
        status="ok",
        reason="",
        message="",
        severity=SeverityFinding(
            extent, extent, max(0, extent - 1), min(8, extent + 1), sum(zones), zones,
            "severity-1+a",
        ),
        structures=StructuresFinding(
            STRUCTURES, (True,) * len(STRUCTURES), (9000.0,) * len(STRUCTURES), 0.5, 9e3, 9e3, None,
            "structures-1+b",
        ),
        change=ChangeFinding(
            f"{study}.0", f"{study}.0.1", taken - timedelta(days=1), moved, moved - 1, moved + 1,
            0.9, True, "", 0.8, 0.9, 0.0, "severity-1+a registration-1+c",
        ),
    )  # fmt: skip
