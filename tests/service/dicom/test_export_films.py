"""`carina export films`, read by other programs, and joined to `carina export labels`."""

from __future__ import annotations

import hashlib
import json
import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from service.__main__ import main
from service.commands import export_secret
from service.errors import UsageError
from service.records import Review, ScoreReview
from service.settings import Settings
from tests.service.dicom.conftest import NOW, Ward
from tests.service.dicom.films import as_file, film
from tests.service.dicom.results import scored

SECRET = "an export secret of thirty-two bytes or more"
Export = Callable[..., int]


@pytest.fixture
def export(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> Export:
    """Run `carina export` on the ward, with the secret or without."""

    def run(what: str, folder: Path, *options: str, secret: str = SECRET) -> int:
        monkeypatch.delenv("CARINA_EXPORT_SECRET", raising=False)
        if secret:
            monkeypatch.setenv("CARINA_EXPORT_SECRET", secret)
        return main(["export", what, "-o", str(folder), "--data-dir", str(ward.folder), *options])

    return run


def take(ward: Ward, ds: Dataset) -> Dataset:
    ward.ingest.take(as_file(ds), source="import", actor="TESTER")
    return ds


def review(ward: Ward, ds: Dataset) -> None:
    """A result of the film in force, and what a reader says of it."""
    uids = {"study_uid": ds.StudyInstanceUID, "sop_instance_uid": ds.SOPInstanceUID}
    result = replace(scored(), patient_id=ds.PatientID, **uids)
    ward.index.add_result(result, ward.audit())
    score = ScoreReview("extent", "corrected", 3.5, 5.0)
    said = Review("v1", patient_id=ds.PatientID, result_id=result.result_id, reader="ada",
                  at=NOW, model="severity", scores=(score,), **uids)  # fmt: skip
    ward.index.add_review(said, ward.audit())


def test_films_name_nobody_stay_as_they_are_and_join_the_labels(
    ward: Ward, export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = take(ward, film(patient_id="MRN-77012"))
    second = film(patient_id="MRN-77012", seed=1)
    second.StudyDate, second.ViewPosition = "20260304", "AP"
    second.compress(RLELossless, generate_instance_uid=False)
    take(ward, second)
    take(ward, film(patient_id="MRN-80555"))
    review(ward, second)
    out = tmp_path / "cohort"
    assert export("films", out) == 0
    assert export("labels", tmp_path / "labels", "--pseudonyms") == 0
    told = capsys.readouterr()

    table = pd.read_csv(out / "films.csv")
    assert table.patient.nunique() == 2
    joined = table.merge(
        pd.read_parquet(tmp_path / "labels" / "reviews.parquet"), on="sop_instance_uid_sha256"
    )
    assert (joined.patient_x == joined.patient_y).tolist() == [True]
    assert joined[["extent_reader", "model_extent", "model_extent_low"]].values.tolist() == [
        [5.0, 3.5, 2.125]
    ]
    assert (joined.days_since_first[0], joined["view"][0]) == (3, "AP")
    digest = hashlib.sha256(first.SOPInstanceUID.encode()).hexdigest()
    assert digest in set(table.sop_instance_uid_sha256)
    assert set(json.loads((out / "films.json").read_text())) == set(table.columns)
    written = dcmread(out / joined.file[0])
    assert written.PixelData == second.PixelData
    assert written.file_meta.TransferSyntaxUID == RLELossless
    assert written.PatientID == joined.patient_x[0]

    for path in [one for one in out.rglob("*") if one.is_file()]:
        known = path.read_bytes() + str(path).encode()
        for value in ("MRN-", "77012", "Müller", "Anna", "19500102", "20260301", "2026-03"):
            assert value.encode() not in known
            assert value.encode("latin-1") not in known
        for ds in (first, second):
            for uid in (ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID):
                assert uid.encode() not in known
    assert "MRN-" not in told.out + told.err
    modes = {stat.S_IMODE(one.stat().st_mode) for one in (out, out / "films")}
    assert modes == {0o700}
    command = ["dcmdump", "-q", *map(str, (out / "films").iterdir())]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    audits = [one for one in ward.index.audits(patient_id="MRN-77012") if one.action == "export"]
    assert sorted(one.detail for one in audits) == ["2 films, de-identified", "labels of 1 reviews"]


def test_without_a_secret_each_export_has_pseudonyms_of_its_own(
    ward: Ward, export: Export, tmp_path: Path
) -> None:
    for seed in (0, 1):
        take(ward, film(seed=seed))
    names = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        assert export("films", folder, secret="") == 0
        (name,) = pd.read_csv(folder / "films.csv").patient.unique()
        names.append(name)
    assert names[0] != names[1]


def test_what_cannot_leave_is_counted_by_reason_and_the_others_leave(
    ward: Ward, export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = take(ward, film())
    burned, lost, hostile, undecodable = (film(seed=seed) for seed in range(1, 5))
    burned.BurnedInAnnotation = "YES"
    for ds in (burned, lost, hostile, undecodable):
        take(ward, ds)
    take(ward, film(sop_class="1.2.840.10008.5.1.4.1.1.2"))  # CT
    paths = {
        ds.SOPInstanceUID: ward.objects.path(ward.index.instance(ds.SOPInstanceUID).object_key)
        for ds in (lost, hostile)
    }
    paths[lost.SOPInstanceUID].unlink()
    paths[hostile.SOPInstanceUID].write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 64)
    ward.index.mark_undecodable(undecodable.SOPInstanceUID)
    review(ward, good)
    assert export("films", tmp_path / "all") == 1
    told = capsys.readouterr().out
    assert "1, it declares burned-in annotation" in told
    assert "1, its bytes are lost" in told
    assert "1, it cannot be read" in told
    assert len(pd.read_csv(tmp_path / "all" / "films.csv")) == 1
    assert export("films", tmp_path / "all") == 2
    assert export("films", tmp_path / "reviewed", "--reviewed") == 0


def test_without_films_nothing_is_written(export: Export, tmp_path: Path) -> None:
    assert export("films", tmp_path / "none") == 1
    assert not (tmp_path / "none").exists()


def test_where_every_film_is_left_out_the_folder_can_be_used_again(
    ward: Ward, export: Export, tmp_path: Path
) -> None:
    ds = film()
    ds.BurnedInAnnotation = "YES"
    take(ward, ds)
    for _ in range(2):
        assert export("films", tmp_path / "none") == 1


def test_a_secret_that_others_can_read_or_guess_is_turned_down(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    file.chmod(0o644)
    settings = Settings(export_secret_file=file)
    with pytest.raises(UsageError, match="chmod 600"):
        export_secret.given(settings)
    file.chmod(0o600)
    assert export_secret.given(settings) == SECRET.encode()
    assert export_secret.given(Settings()) is None
    for wrong in (
        {"export_secret": "short"},
        {"export_secret": SECRET, "export_secret_file": file},
    ):
        with pytest.raises(UsageError, match="export secret"):
            export_secret.given(Settings.model_validate(wrong))


@pytest.mark.slow
def test_carina_score_reads_the_folder(ward: Ward, export: Export, tmp_path: Path) -> None:
    take(ward, film(shape=(512, 512)))
    assert export("films", tmp_path / "cohort") == 0
    main(["score", str(tmp_path / "cohort"), "-o", str(tmp_path / "scores.csv")])
    table = pd.read_csv(tmp_path / "scores.csv")
    assert len(table) == 1
    assert set(table.status) <= {"ok", "refused"}
    assert not set(table.reason) & {"undecodable", "truncated"}
