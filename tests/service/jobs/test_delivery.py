"""SR and SEG of a result: made once, kept in the study, sent until they are taken."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian
from structlog.testing import capture_logs

from models.refusal import Refusal
from service.decoding import Decoding, InProcess
from service.errors import DeliveryError
from service.jobs.delivery import Outbox, default_outbox, prepare, send_due
from service.jobs.pipeline import Models, run_study
from service.records import AuditEvent, StudyResult
from service.settings import Settings
from tests.service.jobs.science import NOW, SMALL, Pacs, Ward, film, label, outbox, refusing

AUDIT = AuditEvent(NOW, "chief", "dismiss", "success")


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    ward = Ward(tmp_path)
    yield ward
    ward.index.close()


def result_of(ward: Ward, models: Models = SMALL) -> StudyResult:
    study = ward.take(film())
    result = run_study(study, ward.index, ward.objects, models, NOW)
    assert result is not None
    return result


def made(
    ward: Ward, result: StudyResult, box: Outbox, decoding: Decoding | None = None
) -> tuple[str, ...]:
    decoding = decoding or InProcess()
    return prepare(result.result_id, ward.index, ward.objects, box, NOW, decoding=decoding)


def modalities(ward: Ward, result: StudyResult) -> list[str]:
    return [one.modality for one in ward.index.instances(result.study_uid)]


def test_preparing_twice_makes_each_object_once(ward: Ward) -> None:
    result = result_of(ward)
    box = outbox(Pacs(), "A@h:104", "B@h:104")
    first = made(ward, result, box)
    assert made(ward, result, box) == first
    assert modalities(ward, result) == ["CR", "SR", "SEG"]
    assert len(ward.index.deliveries(result.result_id)) == 4
    assert ward.index.study(result.study_uid).revision == 1
    assert ward.index.audits()[0].action == "report"


def test_a_refused_study_sends_nothing(ward: Ward) -> None:
    result = result_of(ward, refusing("not_chest"))
    assert made(ward, result, outbox(Pacs())) == ()
    assert modalities(ward, result) == ["CR"]


def test_without_a_visible_structure_there_is_no_segmentation(ward: Ward) -> None:
    def nothing(radiograph: Any) -> Any:
        return replace(label(radiograph), visible=(False,) * 20)

    result = result_of(ward, replace(SMALL, label=nothing))
    made(ward, result, outbox(Pacs()))
    assert modalities(ward, result) == ["CR", "SR"]


def test_an_object_that_cannot_be_made_does_not_keep_the_other(ward: Ward) -> None:
    def broken(*_args: Any) -> bytes:
        raise RuntimeError("DOE^JANE")

    result = result_of(ward)
    box = replace(outbox(Pacs()), segmentation=broken)
    with capture_logs() as logs:
        made(ward, result, box)
    assert modalities(ward, result) == ["CR", "SR"]
    assert "JANE" not in str(logs)
    failures = [one for one in ward.index.audits() if one.outcome == "failure"]
    assert [one.detail for one in failures] == ["segmentation could not be made"]


def test_a_mask_whose_bytes_are_lost_does_not_keep_the_report(ward: Ward) -> None:
    result = result_of(ward)
    ward.objects.delete(result.artifacts["structures"])
    made(ward, result, outbox(Pacs(), "A@h:104"))
    assert modalities(ward, result) == ["CR", "SR"]
    assert len(ward.index.deliveries(result.result_id)) == 1


def test_the_shipped_sr_and_seg_belong_to_the_film(ward: Ward) -> None:
    before = ward.take(film(day="20260201"))
    run_study(before, ward.index, ward.objects, SMALL, NOW)
    result = result_of(ward)
    box = default_outbox(Settings())
    made(ward, result, box)
    assert modalities(ward, result) == ["CR", "SR", "SEG"]
    source, sr, seg = (
        dcmread(io.BytesIO(ward.objects.get(one.object_key)))
        for one in ward.index.instances(result.study_uid)
    )
    for ds in (sr, seg):
        assert (ds.PatientID, ds.StudyInstanceUID) == (source.PatientID, source.StudyInstanceUID)
    assert [one.SegmentLabel for one in seg.SegmentSequence] == ["Right lung", "Left lung"]
    assert (seg.Rows, seg.Columns) == (source.Rows, source.Columns)


class Refusing(InProcess):
    """Finds no header that it can read."""

    def header(self, data: bytes, only: Collection[int] = ()) -> dict[str, dict[str, Any]]:
        raise Refusal("undecodable", "expected a header within its bounds, found a larger one")


def test_a_header_that_only_a_bounded_process_may_read_is_left_to_it(ward: Ward) -> None:
    deflated = film()
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    study = ward.take(deflated)
    result = run_study(study, ward.index, ward.objects, SMALL, NOW)
    assert result is not None
    assert made(ward, result, outbox(Pacs()), Refusing()) == ()
    assert modalities(ward, result) == ["CR"]
    (failure,) = [one for one in ward.index.audits() if one.outcome == "failure"]
    assert failure.detail == "the film's header could not be read"


def test_a_silent_destination_does_not_hold_up_the_others(ward: Ward) -> None:
    pacs, away = Pacs(), Pacs()
    away.away = True
    result = result_of(ward)
    box = outbox(pacs, "AWAY@h:104", "PACS@h:104")

    def send(data: bytes, destination: str) -> None:
        (away if destination.startswith("AWAY") else pacs).send(data, destination)

    box = replace(box, send=send)
    made(ward, result, box)
    assert send_due(ward.index, ward.objects, box, NOW) == 2
    assert away.tries == 1
    states = {(one.destination, one.state) for one in ward.index.deliveries()}
    assert states == {("AWAY@h:104", "waiting"), ("PACS@h:104", "delivered")}


def test_what_is_put_aside_while_its_destination_hangs_is_not_tried_again(ward: Ward) -> None:
    def fails(_data: bytes, _destination: str) -> None:
        raise DeliveryError("expected an answer, found none")

    def hangs(data: bytes, destination: str) -> None:
        assert ward.index.dismiss_destination("A@h:104", "gone", AUDIT) == 1
        fails(data, destination)

    box = outbox(Pacs(), "A@h:104")
    made(ward, result_of(ward), box)
    for now, send in ((NOW, fails), (NOW + timedelta(hours=1), hangs)):
        send_due(ward.index, ward.objects, replace(box, send=send), now)
    assert sorted(one.state for one in ward.index.deliveries()) == ["failed", "waiting"]
    assert ward.index.failure_counts(dismissed=True)["delivery"] == 1


def test_an_object_that_is_lost_or_breaks_does_not_hold_up_the_others(ward: Ward) -> None:
    pacs = Pacs()
    results = [result_of(ward), result_of(ward)]
    box = outbox(pacs, "A@h:104", "B@h:104")
    for result in results:
        made(ward, result, box)
    lost, *_ = [one for one in ward.index.instances(results[0].study_uid) if one.modality == "SR"]
    ward.objects.delete(lost.object_key)

    def send(data: bytes, destination: str) -> None:
        if destination == "B@h:104":
            raise RuntimeError("DOE^JANE")
        pacs.send(data, destination)

    with capture_logs() as logs:
        assert send_due(ward.index, ward.objects, replace(box, send=send), NOW) == 3
    assert "JANE" not in str(logs)
    states = {(one.destination[0], one.sop_instance_uid == lost.sop_instance_uid, one.state)
              for one in ward.index.deliveries()}  # fmt: skip
    assert states >= {("A", True, "failed"), ("A", False, "delivered"), ("B", False, "waiting")}
