"""Reviews over the API: kept beside the result, checked, ordered and counted."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.structures.anatomy import STRUCTURES
from service.records import Role
from service.review.mask import packed

from .conftest import Stage, add_study

ACCEPT = {"verdict": "accepted"}
PATH = "/api/v1/studies/1.2.3/reviews"


@pytest.fixture
def drawn(stage: Stage) -> Stage:
    """A study whose left lung lies in the right half of a 64 x 48 film."""
    field = np.zeros((len(STRUCTURES), 64, 64), np.uint8)
    field[1, :, 32:] = 250
    arrays = io.BytesIO()
    np.savez_compressed(arrays, probabilities=field, size=np.array(64))
    note = json.dumps({"height": 64, "width": 48}).encode()
    kept = {"film": b"f", "viewer": note, "structures": arrays.getvalue()}
    add_study(stage, artifacts={name: stage.objects.put(d, ".x") for name, d in kept.items()})
    return stage


def post(
    stage: Stage, body: dict[str, Any], status: int = 201, role: Role = Role.RADIOLOGIST
) -> Any:
    answer = stage.send("POST", PATH, body, role)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_a_review_stands_beside_the_result_and_changes_nothing_of_it(drawn: Stage) -> None:
    before = drawn.index.current_result("1.2.3")
    scores = {"extent": {"verdict": "corrected", "value": 6.5}, "left_lower": ACCEPT,
              "right_upper": {"verdict": "rejected"}}  # fmt: skip
    kept = post(drawn, {"scores": scores, "comment": "  effusion "})
    assert drawn.index.current_result("1.2.3") == before
    assert [(s["name"], s["said"], s["value"]) for s in kept["scores"]] == [
        ("extent", 4.0, 6.5), ("right_upper", 1.0, None), ("left_lower", 1.5, 1.5),
    ]  # fmt: skip
    assert (kept["comment"], kept["model"]) == ("effusion", "severity-1+a structures-1+b")
    assert drawn.get("/api/v1/reviews", study_uid="1.2.3").json()["reviews"] == [kept]
    assert drawn.get(f"/api/v1/reviews/{kept['review_id']}").json() == kept


def test_a_second_review_supersedes_the_first_and_both_can_be_had(drawn: Stage) -> None:
    first = post(drawn, {"scores": {"extent": ACCEPT}})
    second = post(drawn, {"comment": "again"})
    (now,) = drawn.get("/api/v1/reviews", patient_id="P1").json()["reviews"]
    assert now == second
    both = drawn.get("/api/v1/reviews", patient_id="P1", superseded=True).json()["reviews"]
    assert [one["superseded_by"] for one in both] == [second["review_id"], None]
    assert both[0]["review_id"] == first["review_id"]


def test_a_contour_is_kept_as_it_was_drawn_and_compared_with_the_models(drawn: Stage) -> None:
    mask = np.zeros((64, 48), bool)
    mask[:, 36:] = True  # half of what the model found
    contour = {"height": 64, "width": 48, "runs": packed(mask)}
    kept = post(drawn, {"contours": {"left_lung": contour}})
    (one,) = kept["contours"]
    assert one["dice"] == pytest.approx(2 / 3, abs=0.01)
    answer = drawn.get(f"/api/v1/reviews/{kept['review_id']}/masks/left_lung")
    pixels = np.asarray(Image.open(io.BytesIO(answer.content)))
    np.testing.assert_array_equal(pixels, np.where(mask, 255, 0))
    again = post(drawn, {"kept_contours": ["left_lung"], "comment": "same contour"})
    assert again["contours"] == kept["contours"]
    assert drawn.get(f"/api/v1/reviews/{kept['review_id']}/masks/heart").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"comment": "   "},
        {"scores": {"extent": {"verdict": "corrected"}}},
        {"scores": {"extent": {"verdict": "corrected", "value": 9}}},
        {"scores": {"left_lower": {"verdict": "corrected", "value": 3.5}}},
        {"scores": {"nose": {"verdict": "accepted"}}},
        {"contours": {"left_lung": {"height": 64, "width": 48, "runs": [5, 5]}}},
        {"contours": {"left_lung": {"height": 48, "width": 64, "runs": [3072]}}},
        {"comment": "x" * 2001},
        {"comment": "bell\x07"},
        {"colour": "red"},
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_kept(drawn: Stage, body: dict[str, Any]) -> None:
    post(drawn, body, 422)
    assert drawn.index.reviews() == ()


def test_a_structure_that_does_not_exist_is_not_found(drawn: Stage) -> None:
    contour = {"height": 64, "width": 48, "runs": [3072]}
    post(drawn, {"contours": {"nose": contour}}, 404)


def test_a_refused_film_can_be_scored_but_not_accepted(stage: Stage) -> None:
    add_study(stage, status="refused", reason="unlike_training", severity=None, structures=None)
    post(stage, {"scores": {"extent": ACCEPT}}, 422)
    kept = post(stage, {"scores": {"extent": {"verdict": "corrected", "value": 2}}})
    assert kept["scores"] == [
        {"name": "extent", "verdict": "corrected", "said": None, "value": 2.0}
    ]


def test_only_radiologists_review_and_the_refusal_is_audited(drawn: Stage) -> None:
    for role in (Role.CLINICIAN, Role.RESEARCHER):
        post(drawn, {"scores": {"extent": ACCEPT}}, 403, role)
    post(drawn, {"scores": {"extent": ACCEPT}})
    (event,) = [one for one in drawn.audits() if one.action == "write" and one.detail == "review"]
    assert (event.actor, event.patient_id) == ("radiologist", "P1")


def test_what_the_caller_has_reviewed_comes_last(drawn: Stage) -> None:
    add_study(drawn, study_uid="1.2.4")
    post(drawn, {"scores": {"extent": ACCEPT}})
    found = drawn.get("/api/v1/reviews/cases", Role.RADIOLOGIST).json()
    assert [(one["study_uid"], one["done"]) for one in found["cases"]] == [
        ("1.2.4", False), ("1.2.3", True),
    ]  # fmt: skip
    assert found["total"] == 2


def test_agreement_is_counted_over_all_readers_and_for_each(drawn: Stage) -> None:
    post(drawn, {"scores": {"extent": {"verdict": "corrected", "value": 5}}})
    post(drawn, {"scores": {"extent": ACCEPT}}, role=Role.ADMIN)
    found = drawn.get("/api/v1/reviews/agreement", Role.RESEARCHER).json()["scores"]
    assert [(one["reader"], one["films"], one["mae"]["value"]) for one in found] == [
        ("", 1, 0.5), ("admin", 1, 0.0), ("radiologist", 1, 1.0),
    ]  # fmt: skip
    assert found[0]["mae"]["low"] is None  # one patient gives no interval
