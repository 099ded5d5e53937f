"""The contract of the index: the same tests on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from service.errors import (
    ConflictError,
    InvalidObjectError,
    NotFoundError,
    OutOfResourcesError,
    UsageError,
)
from service.records import (
    SCORED_CLASSES,
    AuditEvent,
    ChangeFinding,
    Commitment,
    Delivery,
    Instance,
    Observation,
    Patient,
    Role,
    SeverityFinding,
    StructuresFinding,
    Study,
    StudyFilter,
    StudyResult,
    User,
    ZoneChangeFinding,
)
from service.risk_record import Companion, RiskInput, RiskRecord
from service.store.index import MIGRATIONS, Index
from service.store.tables import METADATA

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
AUDIT = AuditEvent(NOW, "PACS", "receive", "success", "P1", "1.2.3")
PATIENT = Patient("P1", name="DOE^JANE", birth_date=date(1960, 2, 3), sex="F")
STUDY = Study("1.2.3", "P1", acquired_at=NOW - HOUR, received_at=NOW, accession_number="A7")
CR = "1.2.840.10008.5.1.4.1.1.1"
GSPS = "1.2.840.10008.5.1.4.1.1.11.1"
FILM = Instance("1.2.3.1", CR, "1.2.3.0", "1.2.3", "1.2.840.10008.1.2.1", "ab/cd/1", "0" * 64, 9,
                NOW, "c-store:PACS", "CR")  # fmt: skip
SEVERITY = SeverityFinding(2.5, 4.0, 3.0, 5.0, 9.0, (1.0, 2.0, 3.0, 0.5, 1.5, 1.0), "severity-1")
STRUCTURES = StructuresFinding(("heart",), (True,), (9100.5,), 0.5, None, 1.5, None, "structures-1")
CHANGE = ChangeFinding("1.2.2", "1.2.2.1", NOW - 24 * HOUR, 1.5, 0.5, 2.5, 0.97, True, "", 0.8, 0.9,
                       0.0, "severity-1",
                       (ZoneChangeFinding("left_lower", 0.8, -0.1, 1.7, 0.9, 0.2, 0.0),), 0.1,
                       False)  # fmt: skip
RESULT = StudyResult("r1", "1.2.3", "P1", "1.2.3.1", "ok", "", "", NOW, NOW - HOUR, SEVERITY,
                     STRUCTURES, CHANGE, {"heat": "ab/cd/2"}, seconds=1.5, revision=1)  # fmt: skip


@pytest.fixture
def index(migrated: Index) -> Iterator[Index]:
    """An empty index: migrated once, emptied after each test."""
    yield migrated
    with migrated._write() as connection:
        for table in reversed(METADATA.sorted_tables):
            connection.execute(table.delete())


@pytest.fixture
def filled(index: Index) -> Index:
    index.add_instance(FILM, STUDY, PATIENT, AUDIT)
    return index


def value(variable: str, number: float, at: datetime, **kept: Any) -> Observation:
    first = Observation(f"{variable}-{at}", "P1", variable, number, "/min", at, at, "monitor")
    return replace(first, **kept)


def risk(at: datetime, probability: float | None, patient_id: str = "P1") -> RiskRecord:
    inputs = (RiskInput("spo2", "SpO2", 91.0, "%", 0.4, at, False, "eicu"),)
    companions = (Companion("ROX", 5.5, "low", "Roca 2019", ()),)
    return RiskRecord(f"{patient_id}-{at}-{probability}", patient_id, at, at,
                      "refused" if probability is None else "ok", "", probability, 0.01, 0.5, -3.0,
                      inputs, ("gcs",), ("lactate",), companions, "ventilation-1")  # fmt: skip


def test_migrations_make_exactly_the_tables_that_the_program_uses(index: Index) -> None:
    with index._read() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, METADATA) == []


def test_migrating_twice_changes_nothing(filled: Index) -> None:
    filled.migrate()
    assert filled.instances("1.2.3") == (FILM,)


def test_an_object_comes_back_as_it_went_in(filled: Index) -> None:
    filled.ping()
    assert filled.instance("1.2.3.1") == FILM
    assert filled.patient("P1") == PATIENT
    assert filled.study("1.2.3") == replace(STUDY, revision=1)
    assert filled.audits() == (AUDIT,)
    assert [event.kind for event in filled.news(0)] == ["study"]


def test_the_same_bytes_again_are_a_duplicate_with_only_an_audit_row(filled: Index) -> None:
    again = replace(FILM, object_key="ab/cd/9")
    assert filled.add_instance(again, STUDY, PATIENT, AUDIT) == "duplicate"
    assert filled.instances("1.2.3") == (FILM,)
    assert filled.study("1.2.3").revision == 1
    assert len(filled.audits()) == 2


def test_other_bytes_under_a_known_uid_are_kept_aside(filled: Index) -> None:
    other = replace(FILM, sha256="1" * 64, object_key="ab/cd/9")
    assert filled.add_instance(other, STUDY, PATIENT, AUDIT) == "conflict"
    assert filled.instance("1.2.3.1") == FILM
    kept = (replace(other, state="conflict"), PATIENT.patient_id)
    assert filled.instances_in("conflict") == (kept,)
    assert filled.instances_in("conflict", offset=1) == ()
    assert filled.instances_in("undecodable") == ()
    assert filled.study("1.2.3").revision == 1


def test_a_study_never_changes_hands_between_patients(filled: Index) -> None:
    stray = replace(FILM, sop_instance_uid="1.2.3.2", sha256="2" * 64)
    other = replace(STUDY, patient_id="P2", description="of another patient")
    assert filled.add_instance(stray, other, Patient("P2"), AUDIT) == "conflict"
    assert filled.study("1.2.3") == replace(STUDY, revision=1)
    assert filled.instances("1.2.3") == (FILM,)


def test_a_film_never_changes_ward_or_admission(filled: Index) -> None:
    admitted = replace(PATIENT, ward="W1", bed="3", admitted_at=NOW)
    filled.put_patient(admitted, AUDIT)
    late = replace(FILM, sop_instance_uid="1.2.3.2", sha256="2" * 64)
    filled.add_instance(late, STUDY, replace(PATIENT, name="DOE^JANE^A", sex=""), AUDIT)
    assert filled.patient("P1") == replace(admitted, name="DOE^JANE^A")


def test_only_films_count_as_revisions(filled: Index) -> None:
    gsps = replace(FILM, sop_instance_uid="1.2.3.3", sop_class_uid=GSPS, sha256="3" * 64)
    own = replace(FILM, sop_instance_uid="1.2.3.4", source="carina", sha256="4" * 64)
    assert CR in SCORED_CLASSES
    assert filled.add_instance(gsps, STUDY, PATIENT, AUDIT) == "stored"
    assert filled.add_instance(own, STUDY, PATIENT, AUDIT) == "stored"
    assert filled.study("1.2.3").revision == 1


def test_a_study_is_pending_until_its_result_has_seen_every_film(filled: Index) -> None:
    assert [study.study_uid for study in filled.pending_studies()] == ["1.2.3"]
    filled.add_result(RESULT, AUDIT)
    assert filled.pending_studies() == ()
    late = replace(FILM, sop_instance_uid="1.2.3.2", sha256="2" * 64)
    filled.add_instance(late, STUDY, PATIENT, AUDIT)
    assert [study.study_uid for study in filled.pending_studies()] == ["1.2.3"]
    filled.add_result(replace(RESULT, result_id="r2", revision=2), AUDIT)
    assert filled.pending_studies() == ()


def test_marking_an_object_undecodable_keeps_it(filled: Index) -> None:
    filled.mark_undecodable("1.2.3.1")
    assert filled.instance("1.2.3.1").state == "undecodable"


def test_what_is_not_there_is_said_so(index: Index) -> None:
    for lookup in (index.instance, index.study, index.patient, index.result, index.user):
        with pytest.raises(NotFoundError):
            lookup("nothing")
    assert index.current_result("nothing") is None
    assert index.current_risk("nothing") is None


def test_findings_come_back_as_they_went_in(filled: Index) -> None:
    kept = filled.add_result(RESULT, AUDIT)
    assert kept == RESULT == filled.current_result("1.2.3") == filled.result("r1")


def test_a_later_result_supersedes_and_the_earlier_is_kept(filled: Index) -> None:
    filled.add_result(RESULT, AUDIT)
    later = replace(RESULT, result_id="r2", status="refused", reason="blank", severity=None,
                    structures=None, change=None, revision=2)  # fmt: skip
    kept = filled.add_result(later, AUDIT)
    assert kept.supersedes == "r1"
    assert filled.current_result("1.2.3") == kept
    assert filled.results("1.2.3") == (RESULT, kept)
    assert filled.patient_results("P1") == (kept,)


def test_the_same_result_twice_is_one(filled: Index) -> None:
    first = filled.add_result(RESULT, AUDIT)
    assert filled.add_result(RESULT, AUDIT) == first
    assert len(filled.results("1.2.3")) == 1
    assert [event.kind for event in filled.news(0)] == ["study", "result"]


def test_a_run_that_was_overtaken_does_not_supersede(filled: Index) -> None:
    newer = filled.add_result(replace(RESULT, result_id="r2", revision=2), AUDIT)
    assert filled.add_result(RESULT, AUDIT) == newer
    assert filled.current_result("1.2.3") == newer


def test_a_run_that_began_with_another_result_in_force_does_not_supersede(filled: Index) -> None:
    first = filled.add_result(RESULT, AUDIT, over=None)
    late = replace(RESULT, result_id="late")
    assert filled.add_result(late, AUDIT, over=None) == first
    assert filled.add_result(late, AUDIT, over=first).supersedes == "r1"
    assert filled.add_result(replace(RESULT, result_id="x"), AUDIT, over=first).result_id == "late"


def test_results_in_parallel_leave_one_in_force_and_news_without_gaps(filled: Index) -> None:
    def add(number: int) -> None:
        filled.add_result(replace(RESULT, result_id=f"r{number}"), AUDIT)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    chain = {result.supersedes for result in filled.results("1.2.3")}
    assert len(chain) == 8  # each supersedes another one, and one supersedes none
    assert [event.number for event in filled.news(0)] == list(range(1, 10))
    assert filled.last_news() == 9
    assert [event.number for event in filled.news(7, limit=1)] == [8]


def test_old_news_is_forgotten_and_the_numbers_go_on(filled: Index) -> None:
    filled.forget_news(NOW + HOUR)
    assert filled.news(0) == ()
    filled.add_result(RESULT, AUDIT)
    assert [event.number for event in filled.news(0)] == [2]


def test_studies_are_found_by_what_a_pacs_asks(filled: Index) -> None:
    older = replace(STUDY, study_uid="1.2.2", acquired_at=NOW - 72 * HOUR, accession_number="A6")
    film = replace(FILM, study_uid="1.2.2", sop_instance_uid="1.2.2.1", sha256="5" * 64)
    filled.add_instance(film, older, PATIENT, AUDIT)
    day = (NOW - HOUR).date()
    finds = {
        StudyFilter(): ["1.2.3", "1.2.2"],
        StudyFilter(patient_name="doe*"): ["1.2.3", "1.2.2"],
        StudyFilter(patient_name="d?e^jane"): ["1.2.3", "1.2.2"],
        StudyFilter(patient_name="d%"): [],
        StudyFilter(patient_id="P2"): [],
        StudyFilter(patient_id="?1"): ["1.2.3", "1.2.2"],
        StudyFilter(accession_number="A6"): ["1.2.2"],
        StudyFilter(accession_number="*6"): ["1.2.2"],
        StudyFilter(description="no such*"): [],
        StudyFilter(description="*"): ["1.2.3", "1.2.2"],
        StudyFilter(study_uid="1.2.3"): ["1.2.3"],
        StudyFilter(date_from=day, date_to=day): ["1.2.3"],
        StudyFilter(date_to=day - timedelta(days=1)): ["1.2.2"],
        StudyFilter(modality="CR"): ["1.2.3", "1.2.2"],
        StudyFilter(modality="CT"): [],
        StudyFilter(modality="CT,CR"): ["1.2.3", "1.2.2"],
    }
    for filters, expected in finds.items():
        assert [s.study.study_uid for s in filled.find_studies(filters)] == expected, filters
    summary = filled.find_studies(StudyFilter(), limit=1)[0]
    assert (summary.patient, summary.modalities) == (PATIENT, ("CR",))
    assert (summary.series_count, summary.instance_count) == (1, 1)
    assert [s.study_uid for s in filled.studies(patient_id="P1", limit=1, offset=1)] == ["1.2.2"]


@pytest.fixture
def in_auckland(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_auckland")
def test_studies_are_found_by_the_day_of_the_hospital(index: Index) -> None:
    early = datetime(2026, 11, 23, 0, 30).astimezone()  # still the day before in Greenwich
    index.add_instance(FILM, replace(STUDY, acquired_at=early), PATIENT, AUDIT)
    for day, count in ((22, 0), (23, 1), (24, 0)):
        asked = date(2026, 11, day)
        found = index.find_studies(StudyFilter(date_from=asked, date_to=asked))
        assert len(found) == count, asked
    assert len(index.find_studies(StudyFilter(date_from=date.min, date_to=date.max))) == 1


def test_of_two_studies_of_one_moment_the_later_received_is_the_newest(filled: Index) -> None:
    twin = replace(STUDY, study_uid="1.2.9", received_at=NOW - HOUR)  # sorts after, came before
    film = replace(FILM, study_uid="1.2.9", sop_instance_uid="1.2.9.1", sha256="5" * 64)
    filled.add_instance(film, twin, PATIENT, AUDIT)
    filled.put_patient(replace(PATIENT, admitted_at=NOW), AUDIT)
    first = filled.add_result(replace(RESULT, result_id="r9", study_uid="1.2.9"), AUDIT)
    newest = filled.add_result(RESULT, AUDIT)
    assert filled.patient_results("P1") == (first, newest)
    assert filled.worklist(now=NOW)[0][0].result == newest
    assert [one.study_uid for one in filled.studies()] == ["1.2.3", "1.2.9"]
    found = filled.find_studies(StudyFilter())
    assert [one.study.study_uid for one in found] == ["1.2.3", "1.2.9"]


def test_the_result_in_force_is_the_last_also_where_clocks_differ(filled: Index) -> None:
    first = filled.add_result(RESULT, AUDIT)
    slow = replace(RESULT, result_id="r2", created_at=NOW - HOUR)
    second = filled.add_result(slow, AUDIT)
    assert filled.results("1.2.3") == (first, second)


def test_the_change_is_against_the_number_nearest_to_an_hour_ago(filled: Index) -> None:
    filled.put_patient(replace(PATIENT, admitted_at=NOW), AUDIT)
    for minutes, probability in ((89, 0.9), (61, 0.1), (31, 0.8), (0, 0.2)):
        filled.add_risk(risk(NOW - timedelta(minutes=minutes), probability))
    assert filled.worklist(now=NOW)[0][0].risk_change == pytest.approx(0.1)


def test_patients_are_found_by_words_ward_and_admission(filled: Index) -> None:
    filled.put_patient(Patient("P2", "ROE^RICHARD", ward="W2", admitted_at=NOW), AUDIT)
    filled.put_patient(replace(PATIENT, ward="W1", admitted_at=NOW, discharged_at=NOW), AUDIT)
    assert [p.patient_id for p in filled.patients(search="roe")] == ["P2"]
    assert [p.patient_id for p in filled.patients(search="p1")] == ["P1"]
    assert [p.patient_id for p in filled.patients(search="_")] == []
    assert [p.patient_id for p in filled.patients(admitted=True)] == ["P2"]
    assert [p.patient_id for p in filled.patients(admitted=False)] == ["P1"]
    assert [p.patient_id for p in filled.patients(ward="W1")] == ["P1"]
    assert filled.wards() == ("W2",)


def test_observations_are_kept_once_and_amended_beside(index: Index) -> None:
    first, second = value("heart_rate", 80, NOW), value("heart_rate", 90, NOW + HOUR)
    assert index.add_observations([first, second, first], AUDIT) == 2
    assert index.add_observations([replace(first, observation_id="again")], AUDIT) == 0
    amended = replace(first, value=84.0, observation_id="amended")
    assert index.add_observations([amended], AUDIT) == 1
    assert index.observations("P1") == (amended, second)
    assert index.observations("P1", variable="gcs") == ()
    assert index.observations("P1", since=NOW + HOUR) == (second,)
    assert index.observations("P1", until=NOW) == (amended,)


def test_many_observations_at_once_are_each_judged_in_their_order(index: Index) -> None:
    index.put_patient(replace(PATIENT, admitted_at=NOW), AUDIT)
    first = value("heart_rate", 80, NOW)
    changed = replace(first, value=81.0, observation_id="b")
    moved = replace(first, value=82.0, observation_id="b", observed_at=NOW - HOUR)
    many = [value("spo2", 90, NOW - n * HOUR) for n in range(300)]
    assert index.add_observations([first, *many, changed, first, moved, changed], AUDIT) == 305
    current = index.observations("P1", variable="heart_rate")
    assert [(one.value, one.observation_id) for one in current] == [(81.0, "b")]
    rows, _ = index.worklist(now=NOW)
    assert {name: one.value for name, one in rows[0].vitals.items()} == {
        "heart_rate": 81.0,
        "spo2": 90,
    }
    assert rows[0].vitals["spo2"].observed_at == NOW


def test_an_observation_amended_to_another_moment_leaves_none_behind(index: Index) -> None:
    first = value("heart_rate", 80, NOW)
    moved = replace(first, observed_at=NOW - HOUR, value=81.0)
    index.put_patient(replace(PATIENT, admitted_at=NOW), AUDIT)
    index.add_observations([first], AUDIT)
    assert index.add_observations([moved], AUDIT) == 1
    assert index.observations("P1") == (moved,)
    rows, _ = index.worklist(now=NOW)
    assert rows[0].vitals == {"heart_rate": moved}


def test_risks_are_a_time_series_without_repeats(filled: Index) -> None:
    records = [risk(NOW + n * HOUR, 0.1 * n) for n in range(3)]
    for record in [*records, replace(records[0], risk_id="again"), records[1]]:
        filled.add_risk(record)
    assert filled.risks("P1") == tuple(records)
    assert filled.risks("P1", since=NOW + HOUR) == tuple(records[1:])
    assert filled.current_risk("P1") == records[2]


def test_the_worklist_shows_risk_course_change_result_and_vitals(filled: Index) -> None:
    filled.put_patient(replace(PATIENT, ward="W1", admitted_at=NOW), AUDIT)
    filled.add_result(RESULT, AUDIT)
    for at, probability in ((NOW - 60 * HOUR, 0.3), (NOW - HOUR, 0.05), (NOW, 0.2)):
        filled.add_risk(risk(at, probability))
    filled.add_risk(risk(NOW - 2 * HOUR, 0.9))  # computed late: not the current one
    pulse = value("heart_rate", 99, NOW)
    filled.add_observations([value("heart_rate", 80, NOW - HOUR), pulse], AUDIT)
    rows, total = filled.worklist(now=NOW)
    assert total == 1
    row = rows[0]
    assert row.patient.patient_id == "P1"
    assert row.risk == risk(NOW, 0.2)
    assert [probability for _, probability in row.risk_course] == [0.9, 0.05, 0.2]
    assert row.risk_change == pytest.approx(0.15)
    assert row.result == RESULT
    assert row.vitals == {"heart_rate": pulse}


def test_the_worklist_is_ranked_filtered_and_paged(index: Index) -> None:
    for name, probability in (("A", 0.02), ("B", 0.5), ("C", None), ("D", 0.05), ("E", 0.2)):
        ward = "W1" if name in "AB" else "W2"
        index.put_patient(Patient(name, f"N^{name}", ward=ward, admitted_at=NOW), AUDIT)
        index.add_risk(risk(NOW, probability, name))
    index.put_patient(Patient("F", "N^F", admitted_at=NOW, discharged_at=NOW), AUDIT)

    def names(**asked: Any) -> str:
        rows, _ = index.worklist(now=NOW, **asked)
        return "".join(row.patient.patient_id for row in rows)

    assert names() == "BEDAC"
    assert names(descending=False) == "ADEBC"
    assert names(sort="name", descending=False) == "ABCDE"
    assert names(ward="W1") == "BA"
    assert names(search="n^d") == "D"
    assert names(search="n^f") == ""
    assert names(search="n^f", who="everybody") == "F"
    assert names(band="high") == "BE"
    assert names(band="medium") == "D"
    assert names(band="low") == "A"
    assert names(band="unknown") == "C"
    assert names(limit=2) + names(limit=2, offset=2) == "BEDA"
    assert index.worklist(now=NOW, limit=2)[1] == 5
    for wrong in ({"sort": "mood"}, {"band": "purple"}):
        with pytest.raises(UsageError):
            names(**wrong)


@pytest.mark.parametrize(
    ("sort", "ascending"),
    [
        ("course", "ABC"),
        ("reason", "BAC"),
        ("severity", "ABC"),
        ("trend", "BAC"),
        ("film", "BAC"),
        ("spo2", "BAC"),
        ("vitals", "ABC"),
        ("flags", "CBA"),
        ("admitted", "ABC"),
    ],
)
def test_the_worklist_sorts_by_every_column_with_unknown_ones_last(
    index: Index, sort: str, ascending: str
) -> None:
    plan = (  # extent, its change, hours since the film, SpO2, hours since it, strongest input
        ("A", 1.0, 0.5, 2, 96.0, 3, "spo2"),
        ("B", 2.0, -0.5, 8, 88.0, 1, "heart_rate"),
    )
    for name, extent, change, film_h, spo2, vital_h, reason in plan:
        patient = Patient(name, f"N^{name}", admitted_at=NOW - (9 if name == "A" else 8) * HOUR)
        uid, taken = f"1.2.{name}", NOW - film_h * HOUR
        film = replace(FILM, study_uid=uid, sop_instance_uid=f"{uid}.1", sha256=uid.ljust(64, "0"))
        index.add_instance(film, Study(uid, name, taken, taken), patient, AUDIT)
        index.put_patient(patient, AUDIT)
        assert RESULT.severity
        assert RESULT.change
        index.add_result(
            replace(
                RESULT,
                result_id=name,
                study_uid=uid,
                patient_id=name,
                acquired_at=taken,
                severity=replace(RESULT.severity, extent=extent),
                change=replace(RESULT.change, extent_change=change, low=change - 0.1),
            ),
            AUDIT,
        )
        at = NOW - vital_h * HOUR
        index.add_observations([Observation(f"o{name}", name, "spo2", spo2, "%", at, at, "x")])
        moved = RiskInput(f"{reason}_mean_6h", "", 1.0, "", 2.0, at, False, "")
        for hours_ago, earlier in ((50, 0.2), (40, 0.3 if name == "A" else 0.05), (20, 0.15)):
            index.add_risk(risk(NOW - hours_ago * HOUR, earlier, name))
        index.add_risk(
            replace(risk(NOW, 0.1, name), inputs=(moved,), stale=("spo2",) if name == "B" else ())
        )
    index.put_patient(Patient("C", "N^C", admitted_at=NOW), AUDIT)

    def names(descending: bool) -> str:
        rows, _ = index.worklist(now=NOW, sort=sort, descending=descending)
        return "".join(row.patient.patient_id for row in rows)

    assert names(False) == ascending
    known = [one for one in ascending if one != "C" or sort in {"admitted", "flags"}]
    assert names(True) == "".join(reversed(known)) + ("C" if "C" not in known else "")


def test_an_index_of_an_older_program_learns_what_the_worklist_sorts_by(filled: Index) -> None:
    filled.put_patient(replace(PATIENT, admitted_at=NOW), AUDIT)
    filled.add_result(RESULT, AUDIT)
    moved = RiskInput("spo2_mean_6h", "", 1.0, "", 2.0, NOW, False, "")
    filled.add_risk(replace(risk(NOW, 0.1), inputs=(moved,), stale=("spo2",)))

    def kept() -> Any:
        with filled._read() as connection:
            return connection.execute(text("SELECT * FROM patients")).mappings().all()

    before = kept()
    filled.step_back("0004")
    filled.migrate()
    (after,) = kept()
    assert dict(after) == dict(before[0])
    assert (after["risk_reason"], after["newest_status"]) == ("spo2", "ok")


def test_a_result_for_the_newest_study_is_what_the_worklist_shows(filled: Index) -> None:
    older = replace(STUDY, study_uid="1.2.2", acquired_at=NOW - 72 * HOUR)
    film = replace(FILM, study_uid="1.2.2", sop_instance_uid="1.2.2.1", sha256="5" * 64)
    filled.add_instance(film, older, PATIENT, AUDIT)
    filled.put_patient(replace(PATIENT, admitted_at=NOW), AUDIT)
    newest = filled.add_result(RESULT, AUDIT)
    old = replace(RESULT, result_id="r0", study_uid="1.2.2", change=None)
    filled.add_result(old, AUDIT)  # scored later, taken earlier
    assert filled.worklist(now=NOW)[0][0].result == newest
    assert filled.patient_results("P1") == (old, newest)


def test_users_are_added_changed_and_unique(index: Index) -> None:
    user = User("ada", Role.CLINICIAN, "hash", NOW)
    index.add_user(user)
    with pytest.raises(ConflictError):
        index.add_user(user)
    index.set_user(replace(user, role=Role.ADMIN, disabled=True))
    assert index.users() == (replace(user, role=Role.ADMIN, disabled=True),)
    assert index.user("ada").disabled
    with pytest.raises(NotFoundError):
        index.set_user(replace(user, username="bob"))


def test_audit_rows_are_found_by_patient_and_by_actor(index: Index) -> None:
    other = replace(AUDIT, actor="ada", patient_id="P2", action="read", detail="result")
    index.add_audit(AUDIT)
    index.add_audit(other)
    assert index.audits() == (other, AUDIT)
    assert index.audits(patient_id="P1") == (AUDIT,)
    assert index.audits(actor="ada") == (other,)
    assert index.audits(limit=1, offset=1) == (AUDIT,)


def test_audit_rows_are_found_by_action_by_study_and_by_time(index: Index) -> None:
    later = replace(AUDIT, at=NOW + HOUR, action="read", study_uid="9.9")
    index.add_audits((AUDIT, later))
    assert index.audits(action="read") == (later,)
    assert index.audits(study_uid="1.2.3") == (AUDIT,)
    assert index.audits(since=NOW + HOUR) == (later,)
    assert index.audits(before=NOW + HOUR) == (AUDIT,)
    assert index.audits(since=NOW, before=NOW + HOUR, action="read") == ()


def test_deliveries_wait_longer_after_each_attempt(filled: Index) -> None:
    filled.add_result(RESULT, AUDIT)
    new = Delivery("d1", "r1", "PACS@host:104", "2.25.1", "waiting", 0, NOW)
    filled.add_delivery(new)
    filled.add_delivery(replace(new, attempts=7))
    assert filled.due_deliveries(NOW) == (new,)
    tried = replace(new, attempts=3, message="refused")
    filled.set_delivery(tried)
    assert filled.due_deliveries(NOW + timedelta(seconds=59)) == ()
    assert filled.due_deliveries(NOW + timedelta(seconds=60)) == (tried,)
    filled.set_delivery(replace(tried, state="delivered"))
    assert filled.due_deliveries(NOW + HOUR) == ()
    assert filled.deliveries("r1") == (replace(tried, state="delivered"),)
    assert filled.deliveries("r2") == ()


def test_a_delivery_is_taken_by_one_worker_at_a_time(filled: Index) -> None:
    filled.add_result(RESULT, AUDIT)
    new = Delivery("d1", "r1", "PACS@host:104", "2.25.1", "waiting", 0, NOW)
    filled.add_delivery(new)
    assert filled.take_deliveries(NOW, NOW + HOUR) == (new,)
    assert filled.take_deliveries(NOW, NOW + HOUR) == ()
    assert filled.take_deliveries(NOW + HOUR, NOW + 2 * HOUR) == (new,)


def test_a_commitment_is_taken_by_one_worker_and_comes_back_as_it_went_in(index: Index) -> None:
    asked = Commitment("1.9", "PACS", ((CR, "1.2.3.1"), (GSPS, "1.2.3.2")), "waiting", 0, NOW)
    index.add_commitment(asked, AUDIT)
    assert index.take_commitments(NOW, NOW + HOUR) == (asked,)
    assert index.take_commitments(NOW, NOW + HOUR) == ()
    index.set_commitment(replace(asked, state="reported", attempts=1))
    assert index.commitment("1.9").state == "reported"
    assert index.take_commitments(NOW + 2 * HOUR, NOW + 3 * HOUR) == ()


def test_only_what_is_in_force_counts_as_kept(filled: Index) -> None:
    aside = replace(FILM, sha256="1" * 64, object_key="ab/cd/9", sop_class_uid=GSPS)
    filled.add_instance(aside, STUDY, PATIENT, AUDIT)
    assert filled.kept_classes([FILM.sop_instance_uid, "1.2.3.999"]) == {
        FILM.sop_instance_uid: (CR, FILM.object_key)
    }


def test_counts_tell_what_is_kept_and_what_waits(filled: Index) -> None:
    counts = filled.counts()
    assert (counts["patients"], counts["studies"], counts["instances"]) == (1, 1, 1)
    assert (counts["studies_pending"], counts["results_ok"]) == (1, 0)
    filled.add_result(RESULT, AUDIT)
    filled.add_delivery(Delivery("d1", "r1", "PACS@host:104", "2.25.1", "failed", 9, NOW))
    counts = filled.counts()
    assert (counts["studies_pending"], counts["results_ok"]) == (0, 1)
    assert counts["deliveries_failed"] == 1


def test_a_naive_moment_is_refused(index: Index) -> None:
    with pytest.raises(Exception, match="timezone-aware"):
        index.add_audit(replace(AUDIT, at=datetime(2026, 1, 1)))


def test_moments_of_other_zones_come_back_as_utc(index: Index) -> None:
    from datetime import timezone

    local = NOW.astimezone(timezone(timedelta(hours=-5)))
    index.add_audit(replace(AUDIT, at=local))
    assert index.audits()[0].at == NOW
    assert index.audits()[0].at.tzinfo == UTC


def test_two_openings_of_one_index_write_without_losing_anything(index_url: str) -> None:
    indexes = [Index(index_url) for _ in range(3)]
    indexes[0].migrate()

    def take(index: Index, first: int) -> None:
        for number in range(first, first + 10):
            film = replace(FILM, sop_instance_uid=f"1.2.3.{number}", sha256=f"{number:064}")
            assert index.add_instance(film, STUDY, PATIENT, AUDIT) == "stored"

    threads = [threading.Thread(target=take, args=(index, 100 * n)) for n, index in
               enumerate(indexes)]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert indexes[0].study("1.2.3").revision == 30
    assert [event.number for event in indexes[1].news(0)] == list(range(1, 31))
    for index in indexes:
        index.close()


def test_a_database_that_is_away_is_out_of_resources(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for url in (f"sqlite:///{tmp_path / 'folder'}", "postgresql://carina@127.0.0.1:1/none"):
        index = Index(url)
        with pytest.raises(OutOfResourcesError, match="expected the index to answer"):
            index.ping()
        index.close()


def test_sqlite_keeps_every_commit_on_the_disk(tmp_path: Path) -> None:
    index = Index(f"sqlite:///{tmp_path / 'new' / 'carina.sqlite'}")
    with index._read() as connection:
        pragma = connection.exec_driver_sql
        assert pragma("PRAGMA journal_mode").scalar() == "wal"
        assert pragma("PRAGMA synchronous").scalar() == 2  # FULL
        assert pragma("PRAGMA foreign_keys").scalar() == 1
    index.close()


def test_text_that_postgresql_cannot_hold_is_an_invalid_object(postgresql_url: str) -> None:
    index = Index(postgresql_url)
    index.migrate()
    with pytest.raises(InvalidObjectError):
        index.add_instance(FILM, STUDY, replace(PATIENT, name="D\x00E"), AUDIT)
    index.close()


def revisions() -> list[str]:
    """Every revision of the schema, oldest first."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    walked = ScriptDirectory.from_config(config).walk_revisions()
    return [one.revision for one in walked][::-1]


@pytest.mark.parametrize("earlier", revisions()[:-1])
def test_data_of_an_earlier_schema_comes_through_down_and_up(index_url: str, earlier: str) -> None:
    index = Index(index_url)
    index.migrate()
    index.add_instance(FILM, STUDY, PATIENT, AUDIT)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with index._write() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, earlier)
    index.migrate()
    assert index.instance(FILM.sop_instance_uid) == FILM
    assert index.patient("P1") == PATIENT
    assert index.audits() == (AUDIT,)
    index.close()


def test_the_migrations_go_down_and_up_again(index_url: str) -> None:
    index = Index(index_url)
    index.migrate()
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with index._write() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        assert set(inspect(connection).get_table_names()) == {"alembic_version"}
    index.migrate()
    assert index.counts()["studies"] == 0
    index.close()


def test_the_schema_goes_back_for_an_older_program_and_keeps_what_that_knows(
    index_url: str,
) -> None:
    index = Index(index_url)
    index.migrate()
    index.add_instance(FILM, STUDY, PATIENT, AUDIT)
    with pytest.raises(UsageError):
        index.step_back("9999")
    index.step_back("0002")
    with index._read() as connection:
        assert "merges" not in inspect(connection).get_table_names()
    index.migrate()
    assert index.instance(FILM.sop_instance_uid) == FILM
    assert index.merges() == ()
    index.close()


def test_a_program_that_meets_a_newer_schema_changes_nothing_and_says_so(tmp_path: Path) -> None:
    index = Index(f"sqlite:///{tmp_path / 'carina.sqlite'}")
    index.migrate()
    with index._write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(UsageError, match="newer"):
        index.migrate()
    index.close()
