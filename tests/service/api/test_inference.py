"""Films and rows in, findings out, nothing stored."""

from __future__ import annotations

import base64
import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.severity.zones import ZONES
from models.structures.anatomy import STRUCTURES
from service.records import RESEARCH_USE

from .conftest import Stage, blank_png, png


def picture(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def test_a_film_is_scored_with_interval_model_and_notice(scene: Stage) -> None:
    body = scene.upload("/api/v1/severity", film=png()).json()
    assert body["status"] == "ok"
    assert body["extent_low"] < body["extent"] < body["extent_high"]
    assert tuple(body["zones"]) == ZONES
    assert body["model"] == "severity-test+0"
    assert body["notice"] == RESEARCH_USE
    assert body["heat_png"] is None


def test_the_heat_map_lies_on_the_grid_of_the_film(scene: Stage) -> None:
    answer = scene.upload("/api/v1/severity?heat=png", film=png(size=320))
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-carina-model"] == "severity-test+0"
    assert picture(answer.content).size == (320, 320)
    inside = scene.upload("/api/v1/severity?heat=base64", film=png(size=320)).json()
    assert base64.b64decode(inside["heat_png"]) == answer.content


@pytest.mark.parametrize(
    "path", ["severity", "severity?heat=png", "structures", "structures?masks=zip"]
)
@pytest.mark.parametrize(
    ("film", "code"),
    [(blank_png(), "blank"), (b"", "undecodable"), (b"not a film at all", "undecodable")],
    ids=["blank", "empty", "text"],
)
def test_a_refused_film_is_an_answer_with_a_reason_and_no_score(
    scene: Stage, path: str, film: bytes, code: str
) -> None:
    answer = scene.upload(f"/api/v1/{path}", film=film)
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "refused"
    assert body["reason"] in {code, "truncated"}
    assert body["message"]
    assert set(body) == {"status", "reason", "message", "film", "notice"}


def test_a_pair_says_which_film_was_refused(scene: Stage) -> None:
    body = scene.upload("/api/v1/align", prior=png(), current=blank_png()).json()
    assert (body["status"], body["reason"], body["film"]) == ("refused", "blank", "current")
    body = scene.upload("/api/v1/align", prior=blank_png(), current=png()).json()
    assert body["film"] == "prior"


@pytest.mark.parametrize("path", ["severity", "structures", "align"])
def test_a_request_without_its_film_is_422(scene: Stage, path: str) -> None:
    assert scene.upload(f"/api/v1/{path}", other=png()).status_code == 422


def test_structures_come_as_findings_as_a_zip_and_as_pictures(scene: Stage) -> None:
    body = scene.upload("/api/v1/structures", film=png(size=320)).json()
    assert tuple(one["name"] for one in body["structures"]) == STRUCTURES
    assert body["cardiothoracic_ratio"] == 0.5
    parcel = scene.upload("/api/v1/structures?masks=zip", film=png(size=320))
    assert parcel.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(parcel.content)) as files:
        assert json.loads(files.read("structures.json"))["model"] == body["model"]
        with np.load(io.BytesIO(files.read("masks.npz"))) as arrays:
            masks = arrays["masks"]
            assert tuple(arrays["structures"]) == STRUCTURES
        assert (masks.dtype, masks.shape) == (np.bool_, (20, 320, 320))
        drawn = np.asarray(picture(files.read("masks/right_lung.png")))
    assert np.array_equal(drawn > 127, masks[0])
    inside = scene.upload("/api/v1/structures?masks=base64", film=png(size=320)).json()
    assert set(inside["masks_png"]) == set(STRUCTURES)


def test_two_films_are_aligned_with_the_change_between_them(scene: Stage) -> None:
    body = scene.upload("/api/v1/align", prior=png(extent=1), current=png(extent=6)).json()
    assert body["status"] == "ok"
    assert body["change"]["low"] < body["change"]["extent_change"] < body["change"]["high"]
    for part in (body, body["change"], body["prior"], body["current"]):
        assert part["notice"] == RESEARCH_USE
        assert part["model"]
    parcel = scene.upload("/api/v1/align?pictures=zip", prior=png(size=288), current=png(size=256))
    with zipfile.ZipFile(io.BytesIO(parcel.content)) as files:
        names = {"prior", "current", "aligned", "difference"}
        assert set(files.namelist()) == {"alignment.json", "arrays.npz"} | {
            f"{name}.png" for name in names
        }
        with np.load(io.BytesIO(files.read("arrays.npz"))) as arrays:
            assert arrays["labels_prior"].shape == (20, 288, 288)
            assert arrays["field_px"].shape == (2, 256, 256)
        assert picture(files.read("aligned.png")).size == (256, 256)
    inside = scene.upload("/api/v1/align?pictures=base64", prior=png(), current=png()).json()
    assert set(inside["pictures_png"]) == names


def test_nothing_is_stored(scene: Stage) -> None:
    before = (scene.index.counts(), scene.index.last_news())
    kept = sorted(Path(scene.services.settings.data_dir).rglob("*"))
    for path in ("severity", "structures"):
        scene.upload(f"/api/v1/{path}", film=png())
    scene.upload("/api/v1/align", prior=png(), current=png())
    assert (scene.index.counts(), scene.index.last_news()) == before
    assert sorted(Path(scene.services.settings.data_dir).rglob("*")) == kept


def estimates(scene: Stage, name: str, rows: Any) -> list[dict[str, Any]]:
    answer = scene.send("POST", f"/api/v1/risk/{name}", rows)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("ventilation", {"age_years": 70, "sex": "male", "spo2": 88, "respiratory_rate": 32}),
        ("outpatient", {"age_years": 70, "sex": "male", "diabetes": "yes"}),
    ],
)
def test_contributions_of_a_risk_add_up(scene: Stage, name: str, row: dict[str, Any]) -> None:
    (one,) = estimates(scene, name, [row])
    assert one["status"] == "ok", one["reason"]
    total = one["baseline_log_odds"] + sum(term["log_odds"] for term in one["contributions"])
    probability = one["probability"]
    assert total == pytest.approx(math.log(probability / (1 - probability)), abs=1e-9)
    assert one["low"] <= probability <= one["high"]
    assert one["notice"] == RESEARCH_USE
    assert one["model"]


OUTPATIENT = {
    "age_years": 72, "sex": "male", "respiratory_rate": 24, "spo2": 90, "gcs": 15, "urea": 9,
    "crp": 120, "lymphocytes": 0.8, "systolic_bp": 118, "heart_rate": 96, "temperature": 101.3,
    "oxygen_flow": 2, "pneumonia": "yes", "diabetes": "yes", "copd": "no", "obesity": "no",
    "immunosuppression": "no", "cardiovascular_disease": "no", "chronic_kidney_disease": "no",
    "other_comorbidity": "no",
}  # fmt: skip


def test_published_scores_stand_beside_each_answer_or_say_what_they_lack(scene: Stage) -> None:
    (one,) = estimates(scene, "outpatient", [OUTPATIENT])
    beside = {score["name"]: score for score in one["companions"]}
    assert set(beside) == {"ROX", "SpO2/FiO2", "qCSI", "NEWS2", "4C Mortality", "4C Deterioration"}
    assert {name for name, score in beside.items() if score["value"] is None} == {
        "ROX",
        "SpO2/FiO2",
    }
    assert beside["ROX"]["missing"] == ["fio2"]
    assert beside["qCSI"]["value"] == 1 + 2 + 4 - 4  # 2 L/min count nothing
    assert beside["NEWS2"]["value"] == 2 + 3 + 2 + 0 + 1 + 0 + 1  # Fahrenheit was converted
    assert beside["4C Mortality"]["value"] == 6 + 1 + 1 + 1 + 2 + 0 + 1 + 2
    assert beside["4C Deterioration"]["value"] > 300
    assert all(score["citation"] for score in one["companions"])
    (row,) = estimates(scene, "ventilation", [{"spo2": 90, "fio2": 60, "respiratory_rate": 30}])
    assert {s["name"]: s["value"] for s in row["companions"]}["ROX"] == pytest.approx(5.0)
    (refused,) = estimates(scene, "ventilation", [{"spo2": 900}])
    assert refused["companions"] == []


def test_the_risk_is_told_with_and_without_the_film(scene: Stage) -> None:
    row = {"spo2": 91, "respiratory_rate": 26, "fio2": 0.4}
    film, none = estimates(scene, "ventilation", [{**row, "severity_extent": 7}, row])
    assert film["probability"] > none["probability"]
    assert film["probability_without_severity"] == pytest.approx(none["probability"], abs=1e-12)
    assert none["probability_without_severity"] is None
    (term,) = [t for t in film["contributions"] if t["variable"] == "severity_extent"]
    assert "fitted apart" in term["source"]
    clinic = {"age_years": 60, "sex": "female"}
    film, none = estimates(scene, "outpatient", [{**clinic, "severity_extent": 7}, clinic])
    assert film["probability"] > none["probability"]
    assert film["probability_without_severity"] == pytest.approx(none["probability"], abs=1e-12)


def test_a_hospitals_own_model_answers_where_a_setting_names_it(
    scene: Stage, tmp_path: Path
) -> None:
    from dataclasses import replace

    from risk import additive
    from risk.recalibrate import scaled
    from service.api.inference import _ventilation

    own = scaled(additive.shipped("ventilation"), 1.0, 0.5)
    own.write(tmp_path / "own.json")
    update = {"ventilation_model": str(tmp_path / "own.json")}
    settings = scene.services.settings.model_copy(update=update)
    (found,) = _ventilation([{"spo2": 93}], settings).results
    assert found.model == replace(own).label


def test_each_row_has_its_own_answer_in_order(scene: Stage) -> None:
    good = {"age_years": 60, "sex": "female", "spo2": 93}
    bad, unknown = {**good, "spo2": 400}, {**good, "shoe_size": 43}
    answers = estimates(scene, "ventilation", [good, bad, unknown, good])
    assert [one["status"] for one in answers] == ["ok", "refused", "refused", "ok"]
    assert answers[0] == answers[3]
    assert "spo2" in answers[1]["reason"]
    assert "shoe_size" in answers[2]["reason"]
    assert answers[1]["probability"] is None


@pytest.mark.parametrize("rows", [[], {}, "x", [1], [[]], [{"spo2": {}}]])
def test_rows_that_are_none_are_422(scene: Stage, rows: Any) -> None:
    assert scene.send("POST", "/api/v1/risk/ventilation", rows).status_code == 422


def test_missing_weights_are_told_as_503(stage: Stage) -> None:
    from models.runtime import WeightsError

    def broken(_: Any) -> Any:
        raise WeightsError("expected model.onnx in /opt/carina, found none")

    object.__setattr__(stage.services.models, "score", broken)
    answer = stage.upload("/api/v1/severity", film=png())
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert "installs them again" in answer.json()["message"]
    assert "/opt" not in answer.text
