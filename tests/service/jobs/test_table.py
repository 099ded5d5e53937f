"""The cohort table: the columns are a contract, and it reads back as it was written."""

from __future__ import annotations

import pandas as pd
import pytest

from service.errors import UsageError
from service.jobs import table
from service.jobs.scored import Row

CONTRACT = [
    "path",
    "sop_instance_uid",
    "study_instance_uid",
    "patient_id",
    "acquired_at",
    "view",
    "status",
    "reason",
    "pxs",
    "extent",
    "extent_low",
    "extent_high",
    "brixia",
    "zone_right_upper",
    "zone_right_middle",
    "zone_right_lower",
    "zone_left_upper",
    "zone_left_middle",
    "zone_left_lower",
    "model",
    "seconds",
]
ROWS = [
    Row("a, b.dcm", "1.2", "1.3", "P\n1", "2020-04-01T10:00:00", "PA", pxs=1.5, extent=0.0,
        zone_left_lower=3.0, model="m-1", seconds=0.25),
    Row("Ä.png", status="refused", reason='blank: expected "contrast"'),
]  # fmt: skip


@pytest.mark.parametrize("suffix", table.SUFFIXES)
def test_a_table_reads_back_as_it_was_written(tmp_path, suffix):
    output = tmp_path / f"out{suffix}"
    table.write(ROWS, output)
    assert table.read(output) == ROWS
    assert [path.name for path in tmp_path.iterdir()] == [output.name]


@pytest.mark.parametrize("suffix", table.SUFFIXES)
def test_the_columns_are_those_of_the_contract(tmp_path, suffix):
    output = tmp_path / f"out{suffix}"
    table.write(ROWS, output)
    found = pd.read_csv(output) if suffix == ".csv" else pd.read_parquet(output)
    assert list(found.columns) == CONTRACT
    assert found["extent"].tolist()[0] == 0.0
    assert pd.isna(found["extent"][1])


def test_parquet_knows_numbers_and_times(tmp_path):
    table.write(ROWS, tmp_path / "out.parquet")
    found = pd.read_parquet(tmp_path / "out.parquet")
    assert found["pxs"].dtype == float
    assert found["acquired_at"][0] == pd.Timestamp(2020, 4, 1, 10)
    table.write([], tmp_path / "none.parquet")
    assert pd.read_parquet(tmp_path / "none.parquet").empty


def test_an_output_that_cannot_be_written_is_known_beforehand(tmp_path):
    for output in (tmp_path / "out.xlsx", tmp_path / "out"):
        with pytest.raises(UsageError, match="ends in"):
            table.check_output(output)
    (tmp_path / "dir.csv").mkdir()
    with pytest.raises(UsageError, match="folder"):
        table.check_output(tmp_path / "dir.csv")
    table.check_output(tmp_path / "new" / "out.csv")


def test_a_file_that_is_no_such_table_is_not_taken_for_one(tmp_path):
    (tmp_path / "out.csv").write_text("a,b\n1,2\n")
    (tmp_path / "out.parquet").write_bytes(b"no parquet")
    for name in ("out.csv", "out.parquet"):
        with pytest.raises(UsageError, match="earlier run"):
            table.read(tmp_path / name)
