"""`carina score`: one row per film, whatever the film, and whatever happens to the run."""

from __future__ import annotations

import io
import json
import math
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pandas as pd
import pytest

from models.severity import predict
from service.errors import UsageError
from service.jobs import cohort, crew
from service.jobs.cohort import journal_path, score_cohort
from service.jobs.films import Film
from service.jobs.scored import COLUMNS, Row, score_film

MISSING_RAY = "ray" not in sys.modules and not any(
    (Path(folder) / "ray").is_dir() for folder in sys.path if folder
)


def test_a_folder_of_good_and_bad_films_is_a_table_with_a_row_for_each(ward, tmp_path):
    output = tmp_path / "out.parquet"
    summary = score_cohort([str(ward)], output, workers=2)
    found = pd.read_parquet(output)
    assert tuple(found.columns) == COLUMNS
    names = [Path(path).name for path in found["path"]]
    assert names == [
        "cut.dcm", "film.png", "lateral.dcm", "none.dcm", "IM0000", "IM0001", "IM0002",
    ]  # fmt: skip
    by_name = {name: row for name, (_, row) in zip(names, found.iterrows(), strict=True)}
    assert (summary.films, summary.ok, summary.refused, summary.failed) == (7, 4, 3, 0)
    for name, code in (("cut.dcm", "truncated"), ("none.dcm", "undecodable")):
        assert by_name[name]["status"] == "refused"
        assert by_name[name]["reason"] == code
        assert math.isnan(by_name[name]["extent"])
    assert by_name["lateral.dcm"]["reason"] == "not_frontal"
    assert by_name["lateral.dcm"]["patient_id"] == "P4"
    good = by_name["IM0001"]
    assert (good["status"], good["reason"], good["view"]) == ("ok", "", "PA")
    assert good["acquired_at"] == pd.Timestamp(2020, 4, 1, 10, 15)
    assert good["extent_low"] <= good["extent"] <= good["extent_high"]
    assert good["model"]
    assert not journal_path(output).exists()


def test_a_cohort_scores_each_film_exactly_as_it_is_scored_alone(ward, tmp_path):
    score_cohort([str(ward / "films"), str(ward / "film.png")], tmp_path / "out.csv", workers=1)
    for _, row in pd.read_csv(tmp_path / "out.csv").iterrows():
        alone = predict.score(Film(row["path"], row["path"]).read())
        assert row["extent"] == pytest.approx(alone.extent, abs=1e-4)
        assert row["brixia"] == pytest.approx(alone.brixia, abs=1e-3)
        zones = [row[f"zone_{name}"] for name in predict_zones()]
        assert zones == pytest.approx(list(alone.zones), abs=1e-3)


def predict_zones():
    return [name.removeprefix("zone_") for name in COLUMNS if name.startswith("zone_")]


def test_a_shard_scores_like_the_files_in_it(ward):
    shard = ward.parent / "shard.tar"
    with tarfile.open(shard, "w") as tar:
        for name in ("films/IM0000", "cut.dcm", "labels.csv"):
            data = (ward / name).read_bytes()
            info = tarfile.TarInfo(f"k.{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    members = cohort.films.find([str(shard)])
    assert [film.path.split("::")[1] for film in members] == ["k.films/IM0000", "k.cut.dcm"]
    inside, outside = score_film(members[0]), score_film(Film("f", str(ward / "films/IM0000")))
    assert (inside.extent, inside.zone_left_lower) == (outside.extent, outside.zone_left_lower)
    assert score_film(members[1]).reason == "truncated"


RUN = """
import sys
from pathlib import Path
from service.jobs.cohort import score_cohort
if __name__ == "__main__":
    score_cohort([sys.argv[1]], Path(sys.argv[2]), workers=1)
"""


def test_a_run_killed_in_the_middle_goes_on_where_it_was(ward, dicom_film, tmp_path):
    folder, output = tmp_path / "films", tmp_path / "out.csv"
    first = dicom_film(folder / "00.dcm", 0).read_bytes()
    for number in range(1, 14):
        (folder / f"{number:02d}.dcm").write_bytes(first)
    script = tmp_path / "run.py"
    script.write_text(RUN)
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, str(script), str(folder), str(output)]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    journal = journal_path(output)
    with subprocess.Popen(command, env=environment) as run:
        while run.poll() is None and (not journal.exists() or lines(journal) < 4):
            time.sleep(0.005)
        run.send_signal(signal.SIGKILL)
    done = [json.loads(line) for line in journal.read_text().splitlines()[1:] if line.endswith("}")]
    assert 3 <= len(done) < 14
    assert not output.exists()
    summary = score_cohort([str(folder)], output, resume=True, workers=1)
    found = pd.read_csv(output).set_index("path")
    assert len(found) == 14
    assert found.index.is_unique
    assert summary.resumed == len(done)
    for row in done:  # kept, not scored again: the same time to the digit
        assert found.loc[row["path"], "seconds"] == row["seconds"]


def lines(path):
    return path.read_bytes().count(b"\n")


def test_a_finished_run_resumed_does_nothing_again_and_a_new_film_is_added(ward, tmp_path):
    output = tmp_path / "out.parquet"
    first = score_cohort([str(ward / "film.png")], output, workers=1)
    again = score_cohort([str(ward / "film.png"), str(ward / "cut.dcm")], output, resume=True)
    assert (first.films, again.films, again.resumed) == (1, 2, 1)
    unchanged = score_cohort([str(ward / "film.png")], output, resume=True)
    assert (unchanged.films, unchanged.resumed) == (1, 1)


def test_a_film_that_cost_its_process_is_a_row_and_is_tried_again(ward, tmp_path, monkeypatch):
    def lost(work, tasks, workers, **options):
        yield from ((number, crew.Lost("worker_died: by SIGKILL")) for number, _ in
                    enumerate(tasks))  # fmt: skip

    output = tmp_path / "out.csv"
    with monkeypatch.context() as patched:
        patched.setattr(crew, "run", lost)
        summary = score_cohort([str(ward / "cut.dcm")], output)
    assert (summary.failed, summary.ok) == (1, 0)
    row = pd.read_csv(output).iloc[0]
    assert (row["status"], row["reason"]) == ("failed", "worker_died: by SIGKILL")
    assert score_cohort([str(ward / "cut.dcm")], output, resume=True, workers=1).refused == 1


def test_what_cannot_be_is_said_before_the_work_begins(ward, tmp_path):
    film = [str(ward / "film.png")]
    for inputs, output, options, words in (
        (film, "out.txt", {}, "ends in"),
        (film, "out.csv", {"engine": "spark"}, "engine"),
        (film, "out.csv", {"workers": 0}, "worker"),
        ([str(ward / "gone.dcm")], "out.csv", {}, "found nothing"),
        ([str(ward / "labels.csv")], "out.csv", {}, "found none"),
    ):
        with pytest.raises(UsageError, match=words):
            score_cohort(inputs, tmp_path / output, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not MISSING_RAY, reason="Ray is installed here")
def test_without_ray_its_engine_says_what_to_install(ward, tmp_path):
    with pytest.raises(UsageError, match=r"carina\[cluster\]"):
        score_cohort([str(ward / "film.png")], tmp_path / "out.csv", engine="ray")


def test_a_refused_row_has_no_number_at_all(ward):
    row = score_film(Film("x", str(ward / "none.dcm")))
    numbers = {name: value for name, value in row.as_dict().items() if name != "seconds"}
    assert not [name for name, value in numbers.items() if isinstance(value, float)]
    assert isinstance(row, Row)
