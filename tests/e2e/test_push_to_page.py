"""A PACS pushes films; the ward sees them; the PACS gets the results back."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest

from service.demo_ward import vitals
from tests.e2e import films
from tests.e2e.node import PASSWORD, Node, listed, wait_for
from tests.orthanc import Orthanc

pytestmark = [pytest.mark.peer, pytest.mark.timeout(300)]
PATIENT = "P-1001"


@dataclass(frozen=True, slots=True)
class Pushed:
    """What was sent, and a program that may look at it."""

    client: httpx.Client
    studies: list[str]


def result_of(client: httpx.Client, study_uid: str) -> dict[str, Any] | None:
    """The result in force of a study, once there is one."""
    answer = client.get(f"/api/v1/studies/{study_uid}")
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    found: dict[str, Any] | None = answer.raise_for_status().json()["result"]
    return found


@pytest.fixture(scope="module")
def pushed(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pushed]:
    """Two studies of a simulated patient, pushed by storescu, and 24 hours of vital signs."""
    folder, now = tmp_path_factory.mktemp("films"), datetime.now()
    files = [
        films.dated("P-1001-1.dcm", folder, now - timedelta(days=2)),
        films.dated("P-1001-3.dcm", folder, now - timedelta(hours=2)),
    ]
    client = node.client("admin")
    films.storescu(node, *files)
    studies = [str(pydicom.dcmread(f, stop_before_pixels=True).StudyInstanceUID) for f in files]
    for uid in studies:
        wait_for("a result of each study", lambda uid=uid: result_of(client, uid))
    admitted = {
        "ward": "Ward 4",
        "admitted_at": (datetime.now(UTC) - timedelta(days=2)).isoformat(),
    }
    client.put(f"/api/v1/patients/{PATIENT}", json=admitted).raise_for_status()
    readings = list(vitals.readings(PATIENT, "failing", datetime.now(UTC)))
    client.post("/api/v1/observations", json=readings).raise_for_status()
    wait_for("a risk that knows the vital signs", lambda: newest_risk(client)["status"] == "ok")
    yield Pushed(client, studies)
    client.close()


def newest_risk(client: httpx.Client) -> dict[str, Any]:
    """The newest risk of the simulated patient; one without status before the first."""
    risks = listed(client.get(f"/api/v1/patients/{PATIENT}/risk"), "risks")
    return max(risks, key=lambda risk: risk["at"]) if risks else {"status": ""}


def test_a_pushed_film_gets_a_score_with_interval_and_model(pushed: Pushed) -> None:
    result = result_of(pushed.client, pushed.studies[1])
    assert result is not None
    assert result["status"] == "ok", result
    severity = result["severity"]
    assert 0 <= severity["extent_low"] <= severity["extent"] <= severity["extent_high"] <= 8
    assert severity["model"].startswith("severity-")


def test_the_second_study_is_compared_with_the_first(pushed: Pushed) -> None:
    result = result_of(pushed.client, pushed.studies[1])
    assert result is not None
    change = result["change"]
    assert change["prior_study_uid"] == pushed.studies[0]
    assert change["low"] <= change["extent_change"] <= change["high"]
    assert change["aligned"] or change["alignment_reason"]


def test_the_risk_adds_up_and_tells_the_age_of_its_inputs(pushed: Pushed) -> None:
    newest = newest_risk(pushed.client)
    assert 0 < newest["low"] <= newest["probability"] <= newest["high"] < 1
    known = [one for one in newest["contributions"] if one["value"] is not None]
    assert any(one["observed_at"] for one in known)


def test_the_pacs_gets_sr_and_seg_that_dciodvfy_accepts(
    pushed: Pushed, pacs: Orthanc, tmp_path: Path
) -> None:
    def modalities() -> dict[str, str] | None:
        found = {
            pacs_instance_modality(pacs, str(one["ID"])): str(one["ID"]) for one in pacs.instances()
        }
        return found if {"SR", "SEG"} <= set(found) else None

    found = wait_for("SR and SEG in the PACS", modalities)
    if shutil.which("dciodvfy") is None:
        pytest.skip("left out: dciodvfy is not installed (Debian: apt install dicom3tools)")
    for modality in ("SR", "SEG"):
        file = tmp_path / f"{modality}.dcm"
        file.write_bytes(pacs.file(found[modality]))
        checked = subprocess.run(
            ["dciodvfy", str(file)], capture_output=True, text=True, check=False
        )
        errors = [line for line in checked.stderr.split("\n") if line.startswith("Error")]
        assert errors == []


def pacs_instance_modality(pacs: Orthanc, orthanc_id: str) -> str:
    tags = httpx.get(f"{pacs.base}/instances/{orthanc_id}/simplified-tags", timeout=10).json()
    return str(tags["Modality"])


def test_the_ward_sees_score_change_and_risk_on_the_pages(
    pushed: Pushed, node: Node, browser: Any
) -> None:
    page = browser.new_page()
    page.goto(f"{node.base}/")
    page.fill("input[name=username]", "ward")
    page.fill("input[name=password]", PASSWORD)
    page.click("form.card button")
    page.wait_for_selector(f"text={PATIENT}")
    worklist = page.inner_text("main")
    assert "%" in worklist
    assert "research use" in page.inner_text("body").lower()
    page.goto(f"{node.base}/patients/{PATIENT}")
    patient = page.inner_text("main")
    assert "Respiratory rate" in patient
    page.goto(f"{node.base}/studies/{pushed.studies[1]}")
    study = page.inner_text("main")
    assert "extent" in study.lower()
    assert "severity-" in page.content()
    page.close()


def test_real_chest_films_are_scored_and_hip_and_leg_refused_with_the_reason(
    node: Node, pushed: Pushed, shared_data: Path, browser: Any
) -> None:
    files = sorted((shared_data / "dicom").glob("*.dcm"))
    films.storescu(node, *files)
    for file in files:
        uid = str(pydicom.dcmread(file, stop_before_pixels=True).StudyInstanceUID)
        result = wait_for(f"a result of {file.name}", lambda uid=uid: result_of(pushed.client, uid))
        if file.name.startswith("chest"):
            assert result["status"] == "ok", (file.name, result["reason"])
        else:
            assert (result["status"], result["reason"]) == ("refused", "not_chest"), file.name
            assert result["severity"] is None
            assert "does not look like a chest film" in refused_page(node, browser, uid)


def refused_page(node: Node, browser: Any, study_uid: str) -> str:
    page = browser.new_page()
    page.goto(f"{node.base}/login")
    page.fill("input[name=username]", "ward")
    page.fill("input[name=password]", PASSWORD)
    page.click("form.card button")
    page.wait_for_load_state()
    page.goto(f"{node.base}/studies/{study_uid}")
    text = str(page.inner_text("main"))
    page.close()
    return text
