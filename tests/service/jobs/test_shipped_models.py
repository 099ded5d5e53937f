"""Two films of one patient through the models that ship, from the bytes to the result."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread

from models.phantom import draw
from service.decoding import InProcess
from service.jobs.delivery import default_outbox, prepare
from service.jobs.pipeline import default_models, run_study
from service.records import StudyResult
from service.settings import Settings
from tests.service.jobs.science import NOW, Ward, film


def drawn(extent: float, day: str, pose: int) -> Dataset:
    phantom = draw(3, extent, 768, pose=pose)
    ds = film(day=day)
    ds.Rows, ds.Columns = phantom.pixels.shape
    ds.ImagerPixelSpacing = list(phantom.spacing_mm)
    ds.PixelData = np.round(phantom.pixels * 4095).astype(np.uint16).tobytes()
    return ds


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ward, StudyResult, StudyResult]:
    ward = Ward(tmp_path_factory.mktemp("ward"))
    models = default_models()
    results = []
    for extent, day, pose in ((0.5, "20260201", 0), (6.0, "20260203", 1)):
        study = ward.take(drawn(extent, day, pose))
        result = run_study(study, ward.index, ward.objects, models, NOW)
        assert result is not None
        results.append(result)
    return ward, results[0], results[1]


def test_both_films_are_scored_and_the_worse_one_higher(
    judged: tuple[Ward, StudyResult, StudyResult],
) -> None:
    _, before, after = judged
    assert (before.status, after.status) == ("ok", "ok"), (before.message, after.message)
    assert before.severity is not None
    assert after.severity is not None
    assert after.severity.extent > before.severity.extent
    assert after.severity.extent_low <= after.severity.extent <= after.severity.extent_high
    assert after.severity.brixia == pytest.approx(sum(after.severity.zones), abs=1e-6)


def test_the_change_is_that_of_the_two_scores_and_its_pictures_fit(
    judged: tuple[Ward, StudyResult, StudyResult],
) -> None:
    ward, before, after = judged
    assert before.severity is not None
    assert after.severity is not None
    assert after.change is not None, after.message
    difference = after.severity.extent - before.severity.extent
    assert after.change.extent_change == pytest.approx(difference, abs=1e-5)
    assert after.change.aligned, after.change.alignment_reason
    sizes = {
        name: Image.open(io.BytesIO(ward.objects.get(after.artifacts[name]))).size
        for name in ("film", "aligned_prior", "heat", "difference")
    }
    assert sizes["film"] == sizes["aligned_prior"] == sizes["heat"] == sizes["difference"]


def test_lungs_are_outlined_where_they_lie(
    judged: tuple[Ward, StudyResult, StudyResult],
) -> None:
    ward, before, _ = judged
    outlines = json.loads(ward.objects.get(before.artifacts["contours"]))
    middles = {
        name: np.concatenate([np.array(line) for line in outlines[name]]).mean(axis=0)
        for name in ("right_lung", "left_lung")
    }
    # The patient's right is on the left of the film.
    assert middles["right_lung"][1] < 768 / 2 < middles["left_lung"][1]


def test_the_reports_carry_the_scores_and_the_masks(
    judged: tuple[Ward, StudyResult, StudyResult],
) -> None:
    ward, _, after = judged
    box = default_outbox(Settings())
    prepare(after.result_id, ward.index, ward.objects, box, NOW, decoding=InProcess())
    made = {
        one.modality: dcmread(io.BytesIO(ward.objects.get(one.object_key)))
        for one in ward.index.instances(after.study_uid)
    }
    assert set(made) == {"CR", "SR", "SEG"}
    assert after.structures is not None
    assert len(made["SEG"].SegmentSequence) == sum(after.structures.visible)
    assert after.severity is not None
    assert f"{after.severity.extent:.2f}"[:3] in str(made["SR"])
