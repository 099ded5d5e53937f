"""Studies, results and artifacts."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta

import numpy as np
from PIL import Image

from service.records import RESEARCH_USE, Role

from .conftest import NOW, Stage, add_study, event


def test_a_study_shows_its_objects_and_its_result(stage: Stage) -> None:
    add_study(stage)
    body = stage.get("/api/v1/studies/1.2.3").json()
    assert body["instances"][0]["modality"] == "CR"
    result = body["result"]
    assert result["current"] is True
    assert result["artifacts"] == ["film"]
    for part in (result, result["severity"], result["structures"], result["change"]):
        assert part["notice"] == RESEARCH_USE
    assert result["severity"]["extent_low"] < result["severity"]["extent"]
    assert result["severity"]["zones"]["right_middle"] == 2.0
    assert len(result["structures"]["structures"]) == 20


def test_studies_are_newest_first_and_of_one_patient(stage: Stage) -> None:
    add_study(stage, "P1", "1.1", NOW - timedelta(days=2))
    add_study(stage, "P1", "1.2", NOW - timedelta(days=1))
    add_study(stage, "P2", "2.1", NOW)

    def uids(**query: str) -> list[str]:
        found = stage.get("/api/v1/studies", **query).json()["studies"]
        return [one["study_uid"] for one in found]

    assert uids() == ["2.1", "1.2", "1.1"]
    assert uids(patient_id="P1") == ["1.2", "1.1"]
    found = stage.get("/api/v1/results", patient_id="P1").json()["results"]
    assert [one["study_uid"] for one in found] == ["1.1", "1.2"]


def test_an_amended_result_says_so(stage: Stage) -> None:
    first = add_study(stage)
    stage.index.add_result(replace(first, result_id="r2", revision=2), event("P1"))
    older = stage.get(f"/api/v1/results/{first.result_id}").json()
    newer = stage.get("/api/v1/results/r2").json()
    assert (older["current"], older["supersedes"]) == (False, None)
    assert (newer["current"], newer["supersedes"]) == (True, first.result_id)
    both = stage.get("/api/v1/results", study_uid="1.2.3").json()["results"]
    assert [one["current"] for one in both] == [False, True]


def test_a_refused_study_has_a_reason_and_no_score(stage: Stage) -> None:
    add_study(
        stage, status="refused", reason="not_chest", message="expected a chest film, found a hip",
        severity=None, structures=None, change=None, artifacts={},
    )  # fmt: skip
    result = stage.get("/api/v1/studies/1.2.3").json()["result"]
    assert (result["status"], result["reason"]) == ("refused", "not_chest")
    assert result["severity"] is result["structures"] is result["change"] is None


def test_results_need_one_of_patient_and_study(stage: Stage) -> None:
    assert stage.get("/api/v1/results").status_code == 422
    assert stage.get("/api/v1/results", patient_id="P1", study_uid="1").status_code == 422


def test_artifacts_come_as_kept_and_pictures_as_arrays_too(stage: Stage) -> None:
    arrays = io.BytesIO()
    np.savez(arrays, a=np.arange(3))
    add_study(
        stage,
        artifacts={
            "film": stage.objects.put(_png16(), ".png"),
            "structures": stage.objects.put(arrays.getvalue(), ".npz"),
            "contours": stage.objects.put(b'{"right_lung": []}', ".json"),
        },
    )
    path = "/api/v1/studies/1.2.3/artifacts"
    kinds = {n: stage.get(f"{path}/{n}").headers["content-type"] for n in ("film", "structures")}
    assert kinds == {"film": "image/png", "structures": "application/x-npz"}
    assert stage.get(f"{path}/contours").json() == {"right_lung": []}
    with np.load(io.BytesIO(stage.get(f"{path}/film", format="npz").content)) as found:
        assert found["pixels"].max() == 65535  # the full depth survives
    assert stage.get(f"{path}/structures", format="png").status_code == 422
    assert stage.get(f"{path}/nothing").status_code == 404
    assert "contours, film, structures" in stage.get(f"{path}/nothing").json()["message"]


def _png16() -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)).save(out, "PNG")
    return out.getvalue()


def test_an_administrator_lists_the_objects_that_cannot_be_decoded(stage: Stage) -> None:
    add_study(stage)
    (film,) = stage.index.instances("1.2.3")
    assert stage.get("/api/v1/instances", Role.ADMIN, state="undecodable").json() == {
        "instances": []
    }
    stage.index.mark_undecodable(film.sop_instance_uid)
    (kept,) = stage.get("/api/v1/instances", Role.ADMIN, state="undecodable").json()["instances"]
    assert (kept["sop_instance_uid"], kept["study_uid"]) == (film.sop_instance_uid, "1.2.3")
    assert (kept["patient_id"], kept["state"]) == ("P1", "undecodable")
    assert stage.get("/api/v1/instances", Role.CLINICIAN, state="undecodable").status_code == 403
    assert stage.get("/api/v1/instances", Role.ADMIN, state="stored").status_code == 422
