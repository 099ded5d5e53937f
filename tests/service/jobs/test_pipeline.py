"""One study from its films to the result in force."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from structlog.testing import capture_logs

from models.radiograph import Radiograph
from models.refusal import REFUSAL_CODES, Refusal
from models.structures.anatomy import STRUCTURES
from models.structures.predict import Structures
from service.errors import OutOfResourcesError
from service.jobs import neighbours, pipeline
from service.jobs.artifacts import unpack_structures
from service.jobs.pipeline import Models, run_study
from service.records import AuditEvent, StudyResult
from tests.service.jobs.science import NOW, SMALL, Ward, align, as_file, film, label, refusing

GSPS = "1.2.840.10008.5.1.4.1.1.11.1"
PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    ward = Ward(tmp_path)
    yield ward
    ward.index.close()


def run(ward: Ward, study_uid: str, models: Models = SMALL, **named: Any) -> StudyResult:
    result = run_study(study_uid, ward.index, ward.objects, models, NOW, **named)
    assert result is not None
    return result


def picture(ward: Ward, result: StudyResult, name: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(ward.objects.get(result.artifacts[name]))))


def test_a_film_becomes_a_result_with_everything_the_pages_need(ward: Ward) -> None:
    study = ward.take(film(grey=0.5))
    result = run(ward, study)
    assert (result.status, result.reason) == ("ok", "")
    assert ward.index.current_result(study) == result
    assert result.severity is not None
    assert result.severity.extent == pytest.approx(4.0, abs=0.1)
    assert result.structures is not None
    assert result.structures.names == STRUCTURES
    assert result.change is None
    assert set(result.artifacts) == {"film", "viewer", "heat", "structures", "contours", "zones"}
    assert ward.index.audits()[0].action == "score"


def test_the_film_artifact_keeps_sixteen_bits_and_says_its_geometry(ward: Ward) -> None:
    result = run(ward, ward.take(film(grey=0.5)))
    shown = picture(ward, result, "film")
    assert shown.shape == (320, 256)
    assert shown.dtype == np.uint16
    assert shown[100, 100] == pytest.approx(0.5 * 65535, rel=0.01)
    viewer = json.loads(ward.objects.get(result.artifacts["viewer"]))
    assert (viewer["height"], viewer["width"], viewer["spacing_mm"]) == (320, 256, [0.2, 0.2])
    assert viewer["scale"] == [1.0, 1.0]


def test_a_large_film_is_shown_smaller_with_its_spacing_stretched(ward: Ward) -> None:
    def large(_data: bytes) -> Radiograph:
        pixels = np.full((4096, 2048), 0.5, np.float32)
        return Radiograph(pixels, spacing_mm=(0.1, 0.1), view="PA")

    result = run(ward, ward.take(film()), replace(SMALL, read=large))
    viewer = json.loads(ward.objects.get(result.artifacts["viewer"]))
    assert (viewer["height"], viewer["width"]) == (2048, 1024)
    assert viewer["spacing_mm"] == [0.2, 0.2]
    assert viewer["scale"] == [0.5, 0.5]
    assert picture(ward, result, "film").shape == (2048, 1024)
    outlines = json.loads(ward.objects.get(result.artifacts["contours"]))
    points = np.concatenate([np.array(line) for line in outlines["right_lung"]])
    assert points.min(axis=0) == pytest.approx([0, 0])
    assert points.max(axis=0) == pytest.approx([2048, 512], rel=0.05)


def test_contours_are_of_the_visible_structures_in_pixels_of_the_film(ward: Ward) -> None:
    result = run(ward, ward.take(film()))
    outlines = json.loads(ward.objects.get(result.artifacts["contours"]))
    assert set(outlines) == {"right_lung", "left_lung"}
    left = np.array(outlines["left_lung"][0])
    assert left[:, 1].min() == pytest.approx(128, abs=5)
    assert left[:, 1].max() == pytest.approx(256, abs=1)


def test_structures_come_back_as_they_were_labelled(ward: Ward) -> None:
    result = run(ward, ward.take(film()))
    kept = unpack_structures(ward.objects.get(result.artifacts["structures"]))
    expected = label(Radiograph(np.zeros((320, 256), np.float32)))
    assert kept.frame == expected.frame
    assert kept.visible == expected.visible
    assert np.abs(kept.probabilities - expected.probabilities).max() < 1 / 128
    assert (kept.masks() == expected.masks()).all()


def test_the_film_for_presentation_is_preferred(ward: Ward) -> None:
    first = film(sop_class=PROCESSING)
    study = ward.take(first)
    second = film(study_uid=first.StudyInstanceUID)
    ward.take(second)
    assert run(ward, study).sop_instance_uid == second.SOPInstanceUID


def test_the_first_frontal_film_is_judged_whatever_comes_before(ward: Ward) -> None:
    lateral = film(view="LATERAL")
    study = ward.take(lateral)
    frontal = film(study_uid=study, view="AP")
    for ds in (frontal, film(study_uid=study, view="AP", grey=0.9)):
        ward.take(ds)
    assert run(ward, study).sop_instance_uid == frontal.SOPInstanceUID


def test_a_film_without_a_view_is_judged_when_it_passes(ward: Ward) -> None:
    first = film(view="", corner=0.0)
    study = ward.take(first)
    second = film(view="", study_uid=study)
    ward.take(second)
    assert run(ward, study).sop_instance_uid == second.SOPInstanceUID


@pytest.mark.parametrize("code", REFUSAL_CODES)
def test_a_refused_study_has_the_reason_and_no_number(ward: Ward, code: str) -> None:
    result = run(ward, ward.take(film()), refusing(code))
    assert (result.status, result.reason) == ("refused", code)
    assert result.message == "expected another film"
    assert (result.severity, result.structures, result.change) == (None, None, None)


def test_a_refused_film_can_still_be_looked_at(ward: Ward) -> None:
    ds = film(corner=1.0)
    result = run(ward, ward.take(ds))
    assert result.reason == "not_chest"
    assert result.sop_instance_uid == ds.SOPInstanceUID
    assert set(result.artifacts) == {"film", "viewer"}


def test_the_reason_is_that_of_the_film_that_came_nearest(ward: Ward) -> None:
    broken = film(view="PA")
    broken.PixelData = broken.PixelData[:100]
    study = ward.take(broken)
    ward.take(film(study_uid=study, view="LATERAL", corner=0.0))
    nearest = film(study_uid=study, view="PA", corner=1.0)
    ward.take(nearest)
    result = run(ward, study)
    assert (result.reason, result.sop_instance_uid) == ("not_chest", nearest.SOPInstanceUID)


def test_a_truncated_film_is_marked_and_refused(ward: Ward) -> None:
    ds = film()
    ds.PixelData = ds.PixelData[:100]
    result = run(ward, ward.take(ds))
    assert result.status == "refused"
    assert result.reason in pipeline.UNREADABLE
    assert ward.index.instance(ds.SOPInstanceUID).state == "undecodable"
    assert result.artifacts == {}


def test_objects_that_are_no_films_lead_to_no_result(ward: Ward) -> None:
    study = ward.take(film(sop_class=GSPS))
    assert run_study(study, ward.index, ward.objects, SMALL, NOW) is None
    assert ward.index.current_result(study) is None


def test_our_own_objects_are_never_judged(ward: Ward) -> None:
    ds = film()
    ward.ingest.take(as_file(ds), source="carina", actor="system")
    study = str(ds.StudyInstanceUID)
    assert run_study(study, ward.index, ward.objects, SMALL, NOW) is None


def test_a_model_that_breaks_fails_the_study_without_telling_of_the_patient(ward: Ward) -> None:
    def broken(_radiograph: Radiograph, _structures: Structures) -> Any:
        raise RuntimeError("DOE^JANE broke it")

    with capture_logs() as logs:
        result = run(ward, ward.take(film()), replace(SMALL, score=broken))
    assert (result.status, result.reason) == ("failed", "internal")
    assert "RuntimeError" in result.message
    said = f"{logs} {result.message}"
    assert "JANE" not in said
    assert "Jane" not in said
    failure = next(log for log in logs if log["event"] == "study failed")
    assert failure["error"] == "RuntimeError"
    assert any("broken" in where for where in failure["where"])


def test_a_refusal_by_a_later_step_is_a_refusal(ward: Ward) -> None:
    def blank(_radiograph: Radiograph, _structures: Structures) -> Any:
        raise Refusal("blank", "expected contrast, found none; send it again")

    assert run(ward, ward.take(film()), replace(SMALL, score=blank)).reason == "blank"


def test_a_store_that_is_away_writes_nothing_and_is_tried_again(ward: Ward) -> None:
    def away(_data: bytes) -> Radiograph:
        raise OutOfResourcesError("expected the object store to answer, found it away")

    study = ward.take(film())
    with pytest.raises(OutOfResourcesError):
        run(ward, study, replace(SMALL, read=away))
    assert ward.index.current_result(study) is None


def test_running_again_changes_nothing(ward: Ward) -> None:
    study = ward.take(film())
    first = run(ward, study)
    assert run(ward, study) == first
    assert run(ward, study, result_id="other") == first
    assert len(ward.index.results(study)) == 1


def overtaken(ward: Ward, study: str, work: Callable[..., Any]) -> tuple[Any, list[StudyResult]]:
    """A step amid which another run judges the study, once; and where that run's result is put."""
    others: list[StudyResult] = []

    def step(*arguments: Any) -> Any:
        if not others:
            others.append(run(ward, study))
        return work(*arguments)

    return step, others


def test_a_run_that_is_overtaken_gives_the_result_in_force(ward: Ward) -> None:
    study = ward.take(film())
    score, others = overtaken(ward, study, SMALL.score)
    assert [run(ward, study, replace(SMALL, score=score))] == others
    assert len(ward.index.results(study)) == 1


def test_a_run_that_is_overtaken_leaves_no_pictures_behind(ward: Ward) -> None:
    study = ward.take(film())
    score, _ = overtaken(ward, study, SMALL.score)
    run(ward, study, replace(SMALL, score=score))
    assert {key for key, _ in ward.index.object_keys()} == ward.kept()
    ward.take(film(study_uid=study, view="LL"))
    read, _ = overtaken(ward, study, SMALL.read)
    repeated = run(ward, study, replace(SMALL, read=read))
    assert set(repeated.artifacts.values()) <= ward.kept()


def test_a_neighbour_that_is_deleted_amid_the_look_is_no_prior(ward: Ward) -> None:
    before, after = two_days(ward)
    run(ward, before.StudyInstanceUID)
    known = ward.index.study(after.StudyInstanceUID)
    listed = ward.index.patient_results

    def deleted_meanwhile(patient_id: str) -> tuple[StudyResult, ...]:
        found = listed(patient_id)
        audit = AuditEvent(NOW, "chief", "delete", "success")
        ward.index.delete_study(before.StudyInstanceUID, "why", audit)
        return found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ward.index, "patient_results", deleted_meanwhile)
        assert neighbours.newest_prior(ward.index, known) is None


def two_days(ward: Ward) -> tuple[Dataset, Dataset]:
    before, after = film(day="20260227", grey=0.25), film(day="20260301", grey=0.5)
    ward.take(before)
    ward.take(after)
    return before, after


def test_a_study_is_compared_with_the_newest_earlier_one(ward: Ward) -> None:
    oldest = film(day="20260220", grey=0.9)
    run(ward, ward.take(oldest))
    before, after = two_days(ward)
    run(ward, before.StudyInstanceUID)
    result = run(ward, after.StudyInstanceUID)
    assert result.change is not None
    assert result.change.prior_study_uid == before.StudyInstanceUID
    assert result.change.extent_change == pytest.approx(2.0, abs=0.1)
    assert result.change.aligned
    assert (result.change.dice_before, result.change.dice_after) == (0.8, 0.9)
    assert {"aligned_prior", "difference", "change_map"} <= set(result.artifacts)
    assert [one.denser for one in result.change.zones] == [0.2] * 6
    assert [one.agreement for one in result.change.zones] == ["map only"] * 6
    assert picture(ward, result, "aligned_prior").shape == picture(ward, result, "film").shape
    difference = picture(ward, result, "difference")
    assert difference.dtype == np.uint8
    assert difference[50, 50] == pytest.approx(128 + 0.25 * 127, abs=1.5)


def test_a_study_of_another_patient_or_a_refused_one_is_no_prior(ward: Ward) -> None:
    run(ward, ward.take(film(day="20260228", patient_id="P2")))
    run(ward, ward.take(film(day="20260227", corner=1.0)))
    assert run(ward, ward.take(film(day="20260301"))).change is None


def test_of_two_studies_of_one_moment_the_first_received_is_the_prior(ward: Ward) -> None:
    first, second = ward.take(film()), ward.take(film())
    results = [run(ward, study) for study in (first, second)]
    results += [run(ward, study) for study in (first, second)]
    compared = {one.study_uid for one in results if one.change}
    assert len(compared) == 1


def test_an_alignment_that_is_not_trusted_shows_no_pictures(ward: Ward) -> None:
    def refused(*films: Any, **named: Any) -> Any:
        found = align(*films, **named)
        return replace(found, status="refused", reason="the lungs do not meet")

    before, after = two_days(ward)
    run(ward, before.StudyInstanceUID)
    result = run(ward, after.StudyInstanceUID, replace(SMALL, align=refused))
    assert result.change is not None
    assert not result.change.aligned
    assert result.change.alignment_reason == "the lungs do not meet"
    assert not {"aligned_prior", "difference", "change_map"} & set(result.artifacts)
    assert result.change.map_empty is None
    assert [one.agreement for one in result.change.zones] == ["no map"] * 6


def test_a_comparison_that_breaks_leaves_the_score_and_says_so(ward: Ward) -> None:
    def broken(*_films: Any) -> Any:
        raise RuntimeError("broken")

    before, after = two_days(ward)
    run(ward, before.StudyInstanceUID)
    result = run(ward, after.StudyInstanceUID, replace(SMALL, align=broken))
    assert result.status == "ok"
    assert result.change is None
    assert "comparison with the prior failed" in result.message


def test_a_prior_whose_bytes_are_lost_leaves_the_score_and_says_so(ward: Ward) -> None:
    before, after = two_days(ward)
    earlier = run(ward, before.StudyInstanceUID)
    assert earlier.sop_instance_uid is not None
    ward.objects.delete(ward.index.instance(earlier.sop_instance_uid).object_key)
    result = run(ward, after.StudyInstanceUID)
    assert (result.status, result.change) == ("ok", None)
    assert "comparison with the prior failed" in result.message


def test_a_film_whose_bytes_are_lost_fails_and_does_not_wait_for_ever(ward: Ward) -> None:
    study = ward.take(film())
    (kept,) = ward.index.instances(study)
    ward.objects.delete(kept.object_key)
    assert run(ward, study).status == "failed"
    assert ward.index.pending_studies() == ()


def test_a_prior_that_comes_late_amends_the_later_study(ward: Ward) -> None:
    before, after = two_days(ward)
    alone = run(ward, after.StudyInstanceUID)
    assert alone.change is None
    run(ward, before.StudyInstanceUID)
    later = neighbours.next_study(ward.index, ward.index.study(before.StudyInstanceUID))
    assert later == alone
    amended = run(ward, after.StudyInstanceUID)
    assert amended.supersedes == alone.result_id
    assert amended.change is not None


def test_a_late_film_that_changes_nothing_repeats_the_findings(ward: Ward) -> None:
    first = film()
    study = ward.take(first)
    judged = run(ward, study)
    ward.take(film(study_uid=study, view="LATERAL"))
    amended = run(ward, study)
    assert amended.supersedes == judged.result_id
    assert amended.severity == judged.severity
    assert amended.artifacts == judged.artifacts
    assert (judged.revision, amended.revision) == (1, 2)
    assert ward.index.pending_studies() == ()


def test_a_late_frontal_film_amends_a_refusal(ward: Ward) -> None:
    study = ward.take(film(view="LATERAL", corner=0.0))
    assert run(ward, study).reason == "not_frontal"
    ward.take(film(study_uid=study, view="AP"))
    amended = run(ward, study)
    assert (amended.status, len(ward.index.results(study))) == ("ok", 2)


def test_giving_up_leaves_a_failed_result(ward: Ward) -> None:
    study = ward.take(film())
    result = pipeline.give_up(ward.index.study(study), ward.index, NOW, "r1")
    assert (result.status, result.reason) == ("failed", "crashed")
    assert ward.index.current_result(study) == result


def test_waiting_is_counted_from_the_arrival(ward: Ward) -> None:
    from service import metrics

    before = metrics.WAIT_SECONDS._sum.get()
    study = ward.take(film())
    run_study(study, ward.index, ward.objects, SMALL, NOW + timedelta(seconds=7))
    assert metrics.WAIT_SECONDS._sum.get() - before == pytest.approx(7)


def test_a_lung_that_was_not_seen_is_told_beside_the_score(ward: Ward) -> None:
    def one_lung(radiograph: Radiograph, structures: Structures) -> Any:
        seen = SMALL.score(radiograph, structures)
        return replace(seen, field=replace(seen.field, found=(True, False)))

    result = run(ward, ward.take(film()), replace(SMALL, score=one_lung))
    assert result.status == "ok"
    assert "The left lung does not stand out" in result.message


def test_a_prior_that_is_refused_is_told_as_such(ward: Ward) -> None:
    def mirrored(radiograph: Radiograph, structures: Structures) -> Any:
        if radiograph.acquired_at and radiograph.acquired_at.day == 1:
            raise Refusal("unlike_training", "expected the heart on the left; check the film")
        return SMALL.score(radiograph, structures)

    run(ward, ward.take(film(day="20260301")))
    result = run(ward, ward.take(film(day="20260302")), replace(SMALL, score=mirrored))
    assert result.status == "ok"
    assert result.change is None
    assert result.message.startswith("The prior cannot be compared")
