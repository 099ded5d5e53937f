"""A ward with every state that a page can show, in a real index on SQLite."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from models.structures.anatomy import STRUCTURES
from risk.additive import shipped
from service import outpatient
from service.auth import Auth, new_user
from service.context import Services
from service.records import (
    AuditEvent,
    ChangeFinding,
    Instance,
    Observation,
    Patient,
    Role,
    SeverityFinding,
    StructuresFinding,
    Study,
    StudyResult,
)
from service.risk_record import Companion, RiskInput, RiskRecord
from service.settings import Settings
from service.store.index import Index
from service.store.objects import FileObjects
from tests.service.dashboard import installation
from tests.service.dashboard.pictures import Pictures, pictures

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
PASSWORD = "a long enough password"
USERS = {role.value: role for role in Role}
MODEL = "ventilation-0.1.0+0badcafe"
FITTED = "eICU demo, 2,520 stays"
APART = "fitted apart: published odds ratio, not on this outcome"


@dataclass(frozen=True)
class Sickness:
    """One patient of the ward: risk now, where it came from, and what is odd about them."""

    patient_id: str
    name: str
    born: date
    sex: str
    ward: str
    bed: str
    risk: float
    rise: float
    extent: float | None
    change: float = 0.0
    stale: tuple[str, ...] = ()
    refused: str = ""
    ventilated: bool = False
    amended: bool = False
    vitals_age_min: int = 12
    films: int = 2
    aligned: bool = True
    admitted: bool = True


WARD = (
    Sickness("P-1001", "OKAFOR^ADAEZE", date(1961, 4, 2), "F", "ICU 1", "4", 0.31, 0.09, 5.8, 1.7),
    Sickness(
        "P-1002",
        "Lindqvist^Per",
        date(1948, 9, 14),
        "M",
        "ICU 1",
        "2",
        0.22,
        0.03,
        4.9,
        0.9,
        amended=True,
    ),
    Sickness(
        "P-1003", "TANAKA^YUKI", date(1979, 1, 30), "F", "Ward 7", "11", 0.14, -0.02, 3.6, -1.2
    ),
    Sickness(
        "P-1004",
        "Moreau^Jean-Baptiste",
        date(1955, 7, 7),
        "M",
        "Ward 7",
        "3",
        0.118,
        0.004,
        4.1,
        0.2,
        stale=("respiratory_rate", "fio2"),
        vitals_age_min=410,
    ),
    Sickness(
        "P-1005",
        "Haddad^Leila",
        date(1988, 12, 19),
        "F",
        "ICU 1",
        "1",
        0.2,
        0.0,
        6.4,
        2.1,
        ventilated=True,
    ),
    Sickness(
        "P-1006",
        "NOVAK^PETR",
        date(1967, 3, 3),
        "M",
        "Ward 7",
        "8",
        0.081,
        0.011,
        None,
        refused="not_frontal",
    ),
    Sickness(
        "P-1007",
        "Fernandes^Inês",
        date(1972, 6, 25),
        "F",
        "Ward 5",
        "6",
        0.047,
        -0.006,
        2.2,
        -0.1,
        aligned=False,
    ),
    Sickness(
        "P-1008",
        "Smith^Thomas^A",
        date(1940, 10, 10),
        "M",
        "Ward 5",
        "2",
        0.034,
        0.0,
        1.8,
        0.1,
        films=1,
    ),
    Sickness(
        "P-1009", "Kaya^Elif", date(1995, 2, 11), "F", "Ward 5", "9", 0.019, 0.002, 0.9, films=1
    ),
    Sickness(
        "P-1010",
        "van der Berg^Anna",
        date(1983, 8, 1),
        "F",
        "Ward 7",
        "1",
        0.012,
        -0.001,
        None,
        films=0,
    ),
    Sickness(
        "P-1011",
        "Ng^Wei Ming",
        date(1959, 5, 21),
        "M",
        "Ward 5",
        "4",
        0.009,
        0.0,
        0.4,
        films=1,
        refused="",
    ),
    Sickness(
        "P-2001",
        "Abel^Runa",
        date(1952, 2, 2),
        "F",
        "Clinic",
        "",
        0.0,
        0.0,
        4.2,
        films=1,
        admitted=False,
    ),
    Sickness("P/12 odd", "", date(1990, 1, 1), "", "Ward 7", "", 0.0, 0.0, None, films=0),
)


def audit(action: str = "receive") -> AuditEvent:
    return AuditEvent(NOW, "test", action, "success")


def observation(one: Sickness, variable: str, value: float, unit: str, at: datetime) -> Observation:
    name = f"{one.patient_id}-{variable}-{at:%d%H%M}"
    return Observation(name, one.patient_id, variable, value, unit, at, at, "monitor")


def observations(one: Sickness) -> list[Observation]:
    """Hourly vital signs of two days that follow the risk."""
    if one.risk == 0:
        return []
    ill = min(1.0, one.risk / 0.3)
    found = []
    for hour in range(48, -1, -1):
        at = NOW - timedelta(hours=hour, minutes=one.vitals_age_min)
        sick = ill * (1 - 0.35 * hour / 48) + 0.03 * math.sin(hour * 1.7)
        for variable, well, bad, unit in (
            ("respiratory_rate", 15, 34, "/min"),
            ("spo2", 97.5, 88, "%"),
            ("fio2", 0.21, 0.65, "1"),
            ("heart_rate", 76, 121, "/min"),
            ("mean_bp", 88, 66, "mm[Hg]"),
            ("temperature", 36.7, 39, "Cel"),
        ):
            digits = 2 if variable == "fio2" else 1 if variable == "temperature" else 0
            value = round(well + sick * (bad - well), digits)
            found.append(observation(one, variable, value, unit, at))
    return found


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def risk_record(one: Sickness, at: datetime, probability: float) -> RiskRecord:
    """A record whose contributions add up to its probability exactly."""
    baseline = -3.9
    left = logit(probability) - baseline
    seen = at - timedelta(minutes=one.vitals_age_min)
    ill = min(1.0, probability / 0.3)
    shares = (
        ("respiratory_rate", "Respiratory rate", round(15 + 19 * ill), "/min", 0.62, FITTED),
        ("fio2", "Inspired oxygen", round(0.21 + 0.44 * ill, 2), "fraction", 0.44, FITTED),
        ("spo2", "SpO₂", round(97.5 - 9.5 * ill), "%", 0.27, FITTED),
        ("severity_extent", "Severity of the film", one.extent, "0-8", 0.18, APART),
        ("age_years", "Age", 2026 - one.born.year, "a", -0.21, FITTED),
        ("gcs", "Glasgow coma scale", 15.0, "points", -0.16, FITTED),
        ("temperature_slope_6h", "Temperature, trend of 6 h", 0.1, "Cel/h", 0.001, FITTED),
        ("lactate", "Lactate", None, "mmol/L", 0.0, FITTED),
    )
    total = sum(share for *_, share, _ in shares)
    inputs = tuple(
        RiskInput(
            name,
            label,
            value,
            unit,
            left * share / total,
            None if value is None or name == "age_years" else seen,
            name in one.stale,
            source,
        )
        for name, label, value, unit, share, source in shares
    )
    spread = 0.55
    return RiskRecord(
        risk_id=f"{one.patient_id.replace('/', '-')}-{at:%d%H%M}",
        patient_id=one.patient_id,
        at=at,
        computed_at=at,
        status="ok",
        reason="",
        probability=probability,
        low=1 / (1 + math.exp(-(logit(probability) - spread))),
        high=1 / (1 + math.exp(-(logit(probability) + spread))),
        baseline_log_odds=baseline,
        inputs=inputs,
        stale=one.stale,
        missing=("lactate", "ph", "pao2"),
        companions=(
            Companion(
                "ROX",
                round(16 - 12 * ill, 2),
                "higher_risk" if ill > 0.6 else "lower_risk",
                "Roca et al. 2019",
                (),
            ),
            Companion(
                "qCSI",
                float(round(9 * ill)),
                "high" if ill > 0.6 else "low",
                "Haimovich et al. 2020",
                (),
            ),
            Companion("NEWS2", None, "", "Royal College of Physicians 2017", ("consciousness",)),
        ),
        model=MODEL,
    )


def risks(one: Sickness) -> list[RiskRecord]:
    if one.risk == 0:
        return []
    found = []
    for hour in (48, 36, 24, 20, 16, 12, 10, 8, 6, 5, 4, 3, 2, 1, 0):
        if hour % 12 and hour > 1 and one.patient_id != "P-1001":
            continue  # one course in detail is enough: every record is a transaction
        before = one.risk - one.rise if hour else one.risk
        wave = 1 - 0.5 * hour / 48 + 0.06 * math.sin(hour * 1.3)
        probability = one.risk if hour == 0 else before if hour == 1 else max(0.004, before * wave)
        found.append(risk_record(one, NOW - timedelta(hours=hour, minutes=6), probability))
    return found


def severity(extent: float) -> SeverityFinding:
    zones = tuple(
        round(min(3.0, max(0.0, extent / 8 * 3 * w)), 1) for w in (0.5, 1.0, 1.6, 0.4, 0.8, 1.3)
    )
    return SeverityFinding(
        extent * 1.3,
        extent,
        max(0, extent - 0.9),
        min(8, extent + 0.9),
        sum(zones),
        zones,
        "severity-0.1.0+1a2b3c4d",
    )


def structures(visible: tuple[bool, ...]) -> StructuresFinding:
    areas = tuple(12_000.0 + 900 * i if seen else None for i, seen in enumerate(visible))
    return StructuresFinding(
        STRUCTURES, visible, areas, 0.52, 18_400.0, 16_900.0, None, "structures-0.1.0+5e6f7a8b"
    )


def change(one: Sickness, prior: StudyResult) -> ChangeFinding:
    reason = (
        ""
        if one.aligned
        else "the lungs overlap too little after alignment (Dice 0.71, 0.85 needed)"
    )
    return ChangeFinding(
        prior.study_uid,
        prior.sop_instance_uid or "",
        prior.acquired_at,
        one.change,
        one.change - 0.7,
        one.change + 0.7,
        min(0.99, 0.5 + abs(one.change) / 3),
        one.aligned,
        reason,
        0.81,
        0.94,
        0.0,
        "registration-0.1.0+9c0d1e2f",
    )


def study(one: Sickness, number: int, taken: datetime) -> Study:
    uid = f"1.2.826.0.1.{one.patient_id[-4:].lstrip('-')}.{number}"
    return Study(
        uid, one.patient_id, taken, taken + timedelta(minutes=7), f"A{number}", "Chest, bedside AP"
    )


def result(
    one: Sickness, of: Study, drawn: Pictures, extent: float | None, refused: str
) -> StudyResult:
    assert of.acquired_at
    found = StudyResult(
        f"result-{of.study_uid}",
        of.study_uid,
        one.patient_id,
        f"{of.study_uid}.1",
        "ok",
        "",
        "",
        of.received_at,
        of.acquired_at,
        artifacts=dict(drawn.prior),
        revision=1,
    )
    if refused:
        said = "expected a frontal chest film, found a lateral view; send the PA or AP film"
        return replace(found, status="refused", reason=refused, message=said)
    assert extent is not None
    return replace(found, severity=severity(extent), structures=structures(drawn.visible))


def fill_films(index: Index, one: Sickness, drawn: Pictures) -> None:
    prior: StudyResult | None = None
    for number in range(one.films):
        last = number == one.films - 1
        taken = NOW - timedelta(hours=3 + 26 * (one.films - 1 - number), minutes=20)
        of = study(one, number, taken)
        uid = f"{of.study_uid}.1"
        index.add_instance(
            Instance(
                uid,
                "1.2.840.10008.5.1.4.1.1.1.1",
                f"{of.study_uid}.9",
                of.study_uid,
                "1.2.840.10008.1.2.1",
                f"k{uid}",
                f"{number:064d}",
                1,
                of.received_at,
                "c-store:MOD",
                "DX",
            ),
            of,
            Patient(one.patient_id, one.name, one.born, one.sex),
            audit(),
        )
        extent = one.extent if last or one.extent is None else one.extent - one.change
        found = result(
            one, of, drawn, extent if extent is not None else 2.0, one.refused if last else ""
        )
        if last and found.status == "ok":
            found = replace(found, artifacts=dict(drawn.current))
            found = replace(found, change=change(one, prior)) if prior else found
        if last and one.amended:
            first = replace(found, result_id=f"{found.result_id}-first", severity=severity(3.9))
            index.add_result(first, audit("score"))
            found = replace(found, created_at=found.created_at + timedelta(minutes=5), revision=2)
        prior = index.add_result(found, audit("score"))


def fill(index: Index, objects: FileObjects, size: int = 256) -> None:
    drawn = pictures(objects, size)
    for one in WARD:
        fill_films(index, one, drawn)
        patient = Patient(
            one.patient_id,
            one.name,
            one.born,
            one.sex,
            one.ward,
            one.bed,
            NOW - timedelta(days=3) if one.admitted else None,
            None,
            NOW - timedelta(hours=5) if one.ventilated else None,
        )
        index.put_patient(patient, audit("write"))
        index.add_observations(observations(one), audit("write"))
        for record in risks(one):
            index.add_risk(record)
        if not one.admitted:
            outpatient.keep(one.patient_id, index, NOW, shipped("outpatient"))


def make(folder: Path, size: int = 256) -> None:
    """Fill a data folder, users included; it can be copied and opened as often as wanted."""
    index = Index(Settings(data_dir=folder).index_url)
    index.migrate()
    fill(index, FileObjects(folder / "objects"), size)
    installation.fill(index, NOW)
    for name, role in USERS.items():
        index.add_user(new_user(name, PASSWORD, role, NOW))
    index.close()


def services(folder: Path) -> Services:
    """The services of a filled ward; nothing is taken in or scored by them."""
    settings = Settings(
        data_dir=folder,
        time_zone="Europe/Berlin",
        destinations=(installation.PACS, installation.ARCHIVE),
    )
    index = Index(settings.index_url)
    objects = FileObjects(folder / "objects")
    auth = Auth(index, settings, lambda: NOW)
    return Services(
        index=index,
        objects=objects,
        ingest=None,  # type: ignore[arg-type]  # the pages take nothing in
        auth=auth,
        settings=settings,
        clock=lambda: NOW,
        models=None,  # type: ignore[arg-type]  # the pages score nothing
        arrived=lambda _study_uid: None,
        observed=lambda _patient_id: None,
        sending=lambda: None,
        crew=lambda: installation.crew(NOW),
    )
