"""What an interrupted run leaves behind, and what the next one makes of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import UsageError
from service.jobs.journal import Journal
from service.jobs.scored import Row

FIRST = Row("a.dcm", extent=2.5, model="m-1", seconds=0.1)
SECOND = Row("b.dcm", status="refused", reason="blank: expected a film")


def test_rows_come_back_as_they_were_written(tmp_path):
    with Journal(tmp_path / "j", "m-1", resume=False) as journal:
        journal.add(FIRST)
        journal.add(SECOND)
    with Journal(tmp_path / "j", "m-1", resume=True) as journal:
        assert journal.done == {"a.dcm": FIRST, "b.dcm": SECOND}


@given(cut=st.integers(0, 3000))
@settings(max_examples=30, deadline=None)
def test_a_journal_cut_anywhere_keeps_its_whole_lines_and_goes_on(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("journal") / "j"
    with Journal(path, "m-1", resume=False) as journal:
        journal.add(FIRST)
        journal.add(SECOND)
    path.write_bytes(path.read_bytes()[:cut])
    with Journal(path, "m-1", resume=True) as journal:
        kept = list(journal.done.values())
        assert kept == [FIRST, SECOND][: len(kept)]
        journal.add(SECOND)
    with Journal(path, "m-1", resume=True) as journal:
        assert list(journal.done.values())[-1] == SECOND
        assert len(journal.done) == len({*(row.path for row in kept), "b.dcm"})


def test_without_resume_it_starts_anew(tmp_path):
    for _ in range(2):
        with Journal(tmp_path / "j", "m-1", resume=False) as journal:
            assert not journal.done
            journal.add(FIRST)


def test_the_rows_of_another_model_are_not_mixed_in(tmp_path):
    with Journal(tmp_path / "j", "m-1", resume=False) as journal:
        journal.add(FIRST)
    with pytest.raises(UsageError, match="two models"):
        Journal(tmp_path / "j", "m-2", resume=True)


def test_two_runs_cannot_write_one_journal(tmp_path):
    with (
        Journal(tmp_path / "j", "m-1", resume=False),
        pytest.raises(UsageError, match="found another"),
    ):
        Journal(tmp_path / "j", "m-1", resume=True)


def test_a_film_tried_again_has_its_latest_row(tmp_path):
    failed = Row("a.dcm", status="failed", reason="timeout: none")
    with Journal(tmp_path / "j", "m-1", resume=False) as journal:
        journal.add(failed)
        journal.add(FIRST)
    with Journal(tmp_path / "j", "m-1", resume=True) as journal:
        assert journal.done == {"a.dcm": FIRST}
