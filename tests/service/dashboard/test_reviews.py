"""The pages of readers, without scripts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fastapi import FastAPI

from service.__main__ import main
from service.context import Services
from service.dashboard import views
from service.review.judgement import ContourIn, ReviewIn, blank, keep, seen
from service.review.mask import grid, packed
from tests.service.dashboard import ward
from tests.service.dashboard.conftest import Visit, bare

STUDY = "1.2.826.0.1.1001.1"
REFUSED = "1.2.826.0.1.1006.1"
HERE = {"origin": "http://ward"}


@pytest.fixture
def own(memory: Path, filled: Path, tmp_path: Path) -> Iterator[Services]:
    """A ward of the test's own: these tests change it."""
    made = ward.services(shutil.copytree(filled, memory / tmp_path.name))
    yield made
    made.index.close()
    shutil.rmtree(memory / tmp_path.name)


@pytest.fixture
def radiologist(own: Services) -> Visit:
    app = FastAPI()
    app.include_router(views.router(own, bare()))
    return Visit(app, "radiologist")


def send(visit: Visit, study: str, status: int = 303, **fields: str) -> str:
    answer = visit.client.post(f"/studies/{study}/review", data=fields, headers=HERE)
    assert answer.status_code == status, answer.text
    return str(answer.headers.get("location", ""))


def test_a_correction_stands_beside_the_score_on_study_and_patient_page(
    radiologist: Visit, own: Services
) -> None:
    before = own.index.current_result(STUDY)
    send(radiologist, STUDY, verdict_extent="accepted", value_right_upper="2.5",
         verdict_left_lower="rejected", comment="Effusion")  # fmt: skip
    assert own.index.current_result(STUDY) == before
    for path in (f"/studies/{STUDY}", "/patients/P-1001"):
        text = radiologist.page(path).get_text(" ", strip=True)
        assert "Right upper corrected to 2.5 of 3 (model 1.1)" in text
        assert "eft lower rejected" in text
    form = radiologist.page(f"/studies/{STUDY}/review")
    assert form.select_one("input[name=verdict_extent][value=accepted]").has_attr("checked")
    assert form.select_one("select[name=value_right_upper] option[selected]").text == "2.5"
    assert form.textarea.text == "Effusion"


def test_all_scores_are_accepted_with_one_button_and_the_next_film_follows(
    radiologist: Visit, own: Services
) -> None:
    onward = send(radiologist, STUDY, all="accepted", then="next")
    (kept,) = own.index.reviews(study_uid=STUDY)
    assert [one.verdict for one in kept.scores] == ["accepted"] * 7
    assert onward.endswith("/review")
    assert STUDY not in onward


def test_a_refused_film_has_no_score_to_accept_but_can_be_scored(
    radiologist: Visit, own: Services
) -> None:
    page = radiologist.page(f"/studies/{REFUSED}/review")
    assert "No score." in page.get_text()
    assert not page.select("input[type=radio]")
    send(radiologist, REFUSED, value_extent="3")
    assert own.index.reviews(study_uid=REFUSED)[0].scores[0].said is None
    assert "scored 3 of 8" in radiologist.page(f"/studies/{REFUSED}").get_text()


def test_what_was_reviewed_goes_to_the_end_of_the_list_and_into_the_figures(
    radiologist: Visit,
) -> None:
    assert "No review has been kept yet" in radiologist.page("/reviews").get_text()
    send(radiologist, STUDY, all="accepted")
    page = radiologist.page("/reviews")
    assert "done by you" in page.select(".reviews tbody tr")[-1].get_text()
    assert "7 / 0 / 0" not in page.get_text()
    assert "6 / 0 / 0 of 6" in page.get_text()


@pytest.mark.parametrize(
    "fields",
    [{}, {"verdict_extent": "maybe"}, {"value_extent": "9"}, {"contours": "{"},
     {"verdict_extent": "corrected"}, {"contours": '{"heart": {"height": 3}}'}],
)  # fmt: skip
def test_a_form_that_says_nothing_or_nonsense_keeps_nothing(
    radiologist: Visit, own: Services, fields: dict[str, str]
) -> None:
    send(radiologist, STUDY, 422, **fields)
    assert own.index.reviews() == ()


def test_a_review_from_another_site_is_turned_down(radiologist: Visit, own: Services) -> None:
    answer = radiologist.client.post(
        f"/studies/{STUDY}/review", data={"all": "accepted"}, headers={"origin": "http://evil"}
    )
    assert answer.status_code == 403
    assert own.index.reviews() == ()


def test_clinicians_see_reviews_but_may_not_review(clinician: Visit) -> None:
    for path in ("/reviews", f"/studies/{STUDY}/review", f"/studies/{STUDY}/review/field/heart"):
        clinician.page(path, 403)
    assert "Review this film" not in clinician.page(f"/studies/{STUDY}").get_text()


def test_labels_are_exported_with_masks_pseudonyms_and_what_columns_mean(
    own: Services, tmp_path: Path
) -> None:
    result = seen(own.index, STUDY, "")
    mask = np.zeros(grid(own.objects, result), bool)
    mask[10:60, 20:50] = True
    contour = ContourIn(height=mask.shape[0], width=mask.shape[1], runs=packed(mask))
    for number, text in enumerate(("first", "second")):
        fresh = blank(result, "radiologist", ward.NOW, f"v{number}")
        given = ReviewIn(contours={"heart": contour}, comment=text)
        keep(own.index, own.objects, fresh, given, ward.audit("write"))
    here, out = str(own.settings.data_dir), tmp_path / "labels"
    assert main(["export", "labels", "-o", str(out), "--pseudonyms", "--data-dir", here]) == 0
    table = pd.read_csv(out / "reviews.csv")
    assert table.review_id.tolist() == ["v1"]
    assert table.reader.tolist() == ["reader-0001"]
    assert table.comment.isna().all()
    assert "P-1001" not in (out / "reviews.csv").read_text()
    assert set(table.columns) == set(pd.read_json(out / "reviews.json").columns)
    masks = pd.read_parquet(out / "masks.parquet")
    assert masks.structure.tolist() == ["heart"]
    assert (out / masks["mask"].iloc[0]).is_file()
    whole = tmp_path / "all"
    arguments = ["export", "labels", "-o", str(whole), "--all", "--comments", "--data-dir", here]
    assert main(arguments) == 0
    assert pd.read_csv(whole / "reviews.csv").comment.tolist() == ["first", "second"]
    exports = [one for one in own.index.audits(patient_id="P-1001") if one.action == "export"]
    assert len(exports) == 2
    assert main(["export", "labels", "-o", str(whole), "--data-dir", here]) == 2


def test_without_reviews_nothing_is_exported(own: Services, tmp_path: Path) -> None:
    here, out = str(own.settings.data_dir), tmp_path / "labels"
    assert main(["export", "labels", "-o", str(out), "--data-dir", here]) == 1
    assert not out.exists()
