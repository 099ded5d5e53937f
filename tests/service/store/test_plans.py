"""What is asked for each film, page and deletion is found by an index, however much is kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from service.records import AuditEvent, Observation, StudyFilter
from service.store import retrievals
from service.store.index import Index
from service.store.objects import FileObjects
from service.store.retention import Keep
from service.store.tables import METADATA
from tests.service.store.conftest import NOW, House

AUDIT = AuditEvent(NOW, "PACS", "receive", "success", "P1", "1.1")
GROWING = {"instances", "audits", "observations", "vitals", "results", "risks", "reviews"}
FEW = ("ix_instances_aside", "ix_results_failed")
"""Indexes on what went wrong alone."""

KEEP = Keep(1, 1, 1, 1)


def test_every_reference_between_tables_has_an_index_from_its_other_end():
    """Else each deleted row has the whole other table searched for rows that refer to it."""
    missing = [
        f"{table.name}.{column.name}"
        for table in METADATA.sorted_tables
        for column in table.columns
        if column.foreign_keys and not _leads(table, column)
    ]
    assert missing == []


def _leads(table: Any, column: Any) -> bool:
    whole = [one for one in table.indexes if one.dialect_options["sqlite"]["where"] is None]
    first = [next(iter(one.columns)) for one in whole]
    return column in first or next(iter(table.primary_key.columns)) is column


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("plans")
    index = Index(f"sqlite:///{folder / 'carina.sqlite'}")
    index.migrate()
    yield House(index, FileObjects(folder / "objects"))
    index.close()


def plans(index: Index, ask: Callable[[], object]) -> list[str]:
    """How SQLite went about each statement."""
    found: list[str] = []

    def explain(_: Any, cursor: Any, statement: str, values: Any, *_more: Any) -> None:
        if statement.lstrip().startswith(("SELECT", "UPDATE", "DELETE")):
            rows = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)
            found.extend(row[3] for row in rows.fetchall())

    event.listen(index._engine, "before_cursor_execute", explain)
    try:
        ask()
    finally:
        event.remove(index._engine, "before_cursor_execute", explain)
    assert found
    return found


def scans(found: list[str], tables: Collection[str] = GROWING) -> list[str]:
    """Walks through the whole of a table."""
    walks = [step for step in found if step.startswith("SCAN") and step.split()[1] in tables]
    return [step for step in walks if not step.endswith(FEW)]


ASKED: dict[str, Callable[[Index], object]] = {
    "a film that was sent before": lambda i: i.held(["1.1.1"]),
    "the films of a study": lambda i: i.instances("1.1"),
    "the films that were kept aside": lambda i: i.instances_in("conflict"),
    "a report's result": lambda i: i.current_result("1.1"),
    "a patient's results": lambda i: i.patient_results("P1"),
    "a patient's values": lambda i: i.observations("P1", since=NOW),
    "the worklist": lambda i: i.worklist(now=NOW),
    "whether priors were asked for": lambda i: retrievals.was_asked(i, "1.1"),
    "whether a study is a prior": lambda i: retrievals.retrieved(i, "1.1"),
    "what somebody saw of a patient": lambda i: i.audits(patient_id="P1", action="read"),
    "who saw a study": lambda i: i.audits(study_uid="1.1", actor="ada", action="read"),
    "what failed": lambda i: (i.failures(), i.failure_counts()),
    "what is to be sent": lambda i: i.take_deliveries(NOW, NOW),
    "the cases to review": lambda i: i.review_cases(10),
    "what is kept of a node's question": lambda i: i.kept_classes(["1.1.1"]),
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED.keys())
def test_a_question_walks_through_no_table_that_grows_with_every_film(house, ask):
    house.film("1.1", "P1")
    assert scans(plans(house.index, lambda: ask(house.index))) == []


def test_a_film_that_arrives_walks_through_no_table_that_grows_with_every_film(house):
    found = plans(house.index, lambda: [house.film("1.1", "P1"), house.film("1.2", "P1")])
    assert scans(found) == []


def test_a_value_that_is_amended_walks_through_no_table_that_grows_with_every_film(house):
    house.film("1.1", "P1")
    one = Observation("o1", "P1", "spo2", 91.0, "%", NOW, NOW, "hl7")

    def add() -> None:
        house.index.add_observations([one])
        house.index.add_observations([replace(one, value=90.0)])

    assert scans(plans(house.index, add)) == []


@pytest.mark.parametrize(
    "filters",
    [StudyFilter(date_from=NOW.date(), date_to=NOW.date()), StudyFilter(study_uid="1.1")],
)
def test_the_studies_of_a_day_are_looked_up(house, filters):
    found = plans(house.index, lambda: house.index.find_studies(filters))
    assert scans(found, {*GROWING, "studies"}) == []


def test_of_a_study_or_a_patient_the_audit_is_looked_up_by_that(house):
    index = house.index
    found = plans(index, lambda: index.audits(study_uid="1.1", patient_id="P1", action="query"))
    assert found == ["SEARCH audits USING INDEX ix_audits_study_uid (study_uid=?)"]
    found = plans(index, lambda: index.audits(patient_id="P1", actor="priors", action="query"))
    assert found == ["SEARCH audits USING INDEX ix_audits_patient_id (patient_id=?)"]


def test_deleting_what_is_due_looks_at_one_study_and_patient_at_a_time(house):
    index = house.index
    for number in range(3):
        house.film(f"1.{number}", f"P{number}", NOW - timedelta(days=9))
        one = Observation(f"o{number}", f"P{number}", "spo2", 9.0, "%", *[NOW - timedelta(9)] * 2,
                          "hl7")  # fmt: skip
        index.add_observations([one])
    for due in (
        lambda: index.delete_due_study("1.0", KEEP, "old", AUDIT),
        lambda: index.delete_due_objects("1.1", KEEP, AUDIT),
        lambda: index.delete_due_values("P2", KEEP, AUDIT),
    ):
        found = plans(index, due)
        assert scans(found, {*GROWING, "studies", "patients"}) == []
