"""SR and SEG: valid, readable, the same bytes each time, and taken by a real PACS."""

from __future__ import annotations

import io
import shutil
import subprocess
import time
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from highdicom.seg import Segmentation
from highdicom.sr import Comprehensive3DSR
from pydicom import dcmread
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    SecondaryCaptureImageStorage,
)

from models.structures.anatomy import STRUCTURES
from service.dicom import dicom_json
from service.dicom.objects import severity_report, structures_segmentation
from service.dicom.source_image import KEYWORDS, names, reference
from service.records import RESEARCH_USE
from tests.service.dicom.films import as_file, film
from tests.service.dicom.results import CREATED, masks, refused, scored

CLASSES = [
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    SecondaryCaptureImageStorage,
]


def header(sop_class=ComputedRadiographyImageStorage) -> Dataset:
    return dcmread(io.BytesIO(as_file(film(sop_class=sop_class))), stop_before_pixels=True)


@pytest.mark.peer
def test_a_segmentation_in_a_plane_has_no_errors_by_dciodvfy(tmp_path):
    laid = structures_segmentation(header(), scored(), masks((64, 48)), plane=True)
    assert complaints(laid, tmp_path) == []


def test_no_size_of_a_pixel_is_made_up_for_a_plane():
    source = header()
    del source.ImagerPixelSpacing
    laid, plain = (
        structures_segmentation(source, scored(), masks((64, 48)), plane=way)
        for way in (True, False)
    )
    assert laid == plain


def test_a_segmentation_lies_in_a_plane_where_a_viewer_of_slices_needs_one():
    plain, laid = (
        dcmread(io.BytesIO(structures_segmentation(header(), scored(), masks((64, 48)), plane=way)))
        for way in (False, True)
    )
    assert "FrameOfReferenceUID" not in plain
    assert "PlaneOrientationSequence" not in plain.SharedFunctionalGroupsSequence[0]
    shared = laid.SharedFunctionalGroupsSequence[0]
    assert shared.PixelMeasuresSequence[0].PixelSpacing == [0.2, 0.2]
    assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == [1, 0, 0, 0, 1, 0]
    assert np.array_equal(laid.pixel_array, plain.pixel_array)


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize(
    "said",
    [
        {},
        {"PatientName": "Ünlü^Ö=山田^太郎", "StudyDescription": "Thorax p.a. \\ liegend"},
        {"PatientID": " 7\n ", "AccessionNumber": "A" * 40, "Modality": "kein Röntgen"},
        {"StudyDate": "2026.03.01", "PatientBirthDate": "unknown", "StudyTime": "10:15"},
        {"InstanceNumber": "one", "PatientSex": "W", "PatientOrientation": "L\\oben"},
        {"SOPInstanceUID": "1.02.3", "StudyInstanceUID": "1.2.a"},
    ],
)
def test_what_a_result_takes_over_is_the_same_from_the_header_that_a_query_tells(said):
    ds = film()
    ds.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in said.items():
        kind = dictionary_VR(keyword)
        ds.add(DataElement(keyword, kind if kind == "PN" else "UT", value, IGNORE))
        ds[keyword].VR = kind
    read = dcmread(io.BytesIO(as_file(ds)), stop_before_pixels=True)
    tags = [tag_for_keyword(keyword) for keyword in KEYWORDS]
    told = dicom_json.data_set(dicom_json.of_header(read, tags))
    assert reference(told) == reference(read)
    assert names(told) == names(read)


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"left out: {name} is not installed (Debian: dicom3tools, dcmtk)")
    return found


def complaints(data: bytes, tmp_path) -> list[str]:
    path = tmp_path / "object.dcm"
    path.write_bytes(data)
    command = [program("dciodvfy"), str(path)]
    said = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert "Comprehensive3DSR" in said.stderr or "Segmentation" in said.stderr
    return [line for line in (said.stdout + said.stderr).splitlines() if line.startswith("Error")]


def numbers(sr: Dataset) -> dict[str, float]:
    """Every NUM of a report by the meaning of its name."""
    found: dict[str, float] = {}
    for item in sr.get("ContentSequence", []):
        if item.ValueType == "NUM":
            name = item.ConceptNameCodeSequence[0].CodeMeaning
            found[name] = float(item.MeasuredValueSequence[0].NumericValue)
        found |= numbers(item)
    return found


def texts(sr: Dataset) -> list[str]:
    found = []
    for item in sr.get("ContentSequence", []):
        found += [item.TextValue] if item.ValueType == "TEXT" else []
        found += texts(item)
    return found


@pytest.mark.peer
@pytest.mark.parametrize("sop_class", CLASSES)
def test_report_and_segmentation_have_no_errors_by_dciodvfy(sop_class, tmp_path):
    source = header(sop_class)
    assert complaints(severity_report(source, scored()), tmp_path) == []
    assert complaints(severity_report(source, refused()), tmp_path) == []
    segmentation = structures_segmentation(source, scored(), masks((64, 48)))
    assert complaints(segmentation, tmp_path) == []


@pytest.mark.peer
def test_dcmtk_reads_the_report(tmp_path):
    path = tmp_path / "report.dcm"
    path.write_bytes(severity_report(header(), scored()))
    said = subprocess.run(
        [program("dsrdump"), str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert "Geographic extent of opacity" in said.stdout
    assert "3.5" in said.stdout


def test_the_report_dates_the_prior_by_the_hospital_s_day(monkeypatch):
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        late = datetime(2026, 2, 1, 20, 0, tzinfo=UTC)  # the second of February there
        result = replace(scored(), change=replace(scored().change, prior_acquired_at=late))
        sr = dcmread(io.BytesIO(severity_report(header(), result)))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert any(text.startswith("Prior film of 2026-02-02") for text in texts(sr))


def test_the_report_carries_every_number_of_the_result():
    result = scored()
    sr = Comprehensive3DSR.from_dataset(dcmread(io.BytesIO(severity_report(header(), result))))

    found = numbers(sr)

    assert found["Geographic extent of opacity, 0 to 8"] == result.severity.extent
    assert found["Extent, lower bound of 90 % interval"] == result.severity.extent_low
    assert found["Extent, upper bound of 90 % interval"] == result.severity.extent_high
    assert found["Brixia score, 0 to 18"] == result.severity.brixia
    assert sorted(v for n, v in found.items() if " zone, 0 to 3" in n) == sorted(
        result.severity.zones
    )
    assert found["Pulmonary X-ray severity score"] == result.severity.pxs
    assert found["Change of extent against prior"] == result.change.extent_change
    assert found["Probability that the change is real"] == result.change.probability_real
    assert found["Cardiothoracic ratio"] == result.structures.cardiothoracic_ratio
    assert "Angle of tracheal bifurcation" not in found  # not measured, so not said


def test_the_report_names_its_models_its_source_and_its_use():
    source = header()
    sr = dcmread(io.BytesIO(severity_report(source, scored())))

    said = texts(sr)
    assert said.count(RESEARCH_USE) == 3
    assert "0.1.0+1a2b3c4d" in said
    equipment = {item.ManufacturerModelName for item in sr.ContributingEquipmentSequence}
    assert {"Carina severity", "Carina structures"} <= equipment
    evidence = sr.CurrentRequestedProcedureEvidenceSequence[0]
    image = evidence.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert image.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert sr.StudyInstanceUID == source.StudyInstanceUID
    assert (sr.PatientID, sr.PatientName) == (source.PatientID, source.PatientName)


def concepts(sr: Dataset) -> set[str]:
    found = set()
    for item in sr.get("ContentSequence", []):
        found |= {item.ConceptNameCodeSequence[0].CodeMeaning} | concepts(item)
    return found


def test_a_refused_result_has_a_reason_and_neither_number_nor_finding():
    sr = dcmread(io.BytesIO(severity_report(header(), refused())))
    assert numbers(sr) == {}
    assert {"Finding", "Finding Site"} & concepts(sr) == set()
    assert any("not_chest" in text or "body part" in text for text in texts(sr))


def test_the_same_result_is_the_same_object():
    source = header()
    assert severity_report(source, scored()) == severity_report(source, scored())
    first, second = (structures_segmentation(source, scored(), masks((64, 48))) for _ in range(2))
    assert first == second
    assert dcmread(io.BytesIO(first)).ContentTime == f"{CREATED.astimezone():%H%M%S}"


def test_segments_are_the_visible_structures_with_their_masks_and_codes():
    drawn = masks((64, 48))
    ds = dcmread(io.BytesIO(structures_segmentation(header(), scored(), drawn)))
    seg = Segmentation.from_dataset(ds)

    shown = [name for name in STRUCTURES if name != "stomach"]
    assert [item.TrackingID for item in seg.SegmentSequence] == shown
    pixels = seg.pixel_array.astype(bool)
    for number, name in enumerate(shown):
        assert np.array_equal(pixels[number], drawn[STRUCTURES.index(name)])
    lung = seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
    assert lung.CodeValue == "39607008"
    assert lung.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Right"
    assert len(seg.PixelData) == len(shown) * 64 * 48 // 8


def test_masks_of_another_grid_are_refused():
    with pytest.raises(ValueError, match="masks"):
        structures_segmentation(header(), scored(), masks((48, 64)))


def test_nothing_visible_is_nothing_to_segment():
    with pytest.raises(ValueError, match="none to segment"):
        structures_segmentation(header(), scored(), masks((64, 48)) & False)
    with pytest.raises(ValueError, match="none to segment"):
        structures_segmentation(header(), refused(), masks((64, 48)))


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_real_films_get_valid_objects(shared_data, tmp_path):
    paths = sorted((shared_data / "dicom").glob("*.dcm"))
    sources = [dcmread(path, stop_before_pixels=True) for path in paths]
    for source in sources:
        assert complaints(severity_report(source, scored()), tmp_path) == []
    smallest = min(sources, key=lambda ds: ds.Rows * ds.Columns)
    drawn = masks((int(smallest.Rows), int(smallest.Columns)))
    assert complaints(structures_segmentation(smallest, scored(), drawn), tmp_path) == []


def test_a_film_with_an_odd_header_still_gets_its_report(tmp_path):
    ds = film(patient_id="")
    for keyword in ("StudyTime", "StudyID", "AccessionNumber", "PatientOrientation"):
        del ds[keyword]
    ds.PatientName, ds.PatientSex = "山田^太郎", ""
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientBirthDate = ""
    source = dcmread(io.BytesIO(as_file(ds)), stop_before_pixels=True)

    sr = severity_report(source, scored())
    seg = structures_segmentation(source, scored(), masks((64, 48)))

    assert dcmread(io.BytesIO(sr)).PatientName == "山田^太郎"
    if shutil.which("dciodvfy"):
        assert complaints(sr, tmp_path) == []
        assert complaints(seg, tmp_path) == []


def test_a_full_size_segmentation_is_bit_packed_and_quick():
    ds = film(shape=(2048, 2048))
    started = time.monotonic()
    data = structures_segmentation(ds, scored(), masks((2048, 2048)))
    assert len(data) < 19 * 2048 * 2048 // 8 + 100_000
    assert time.monotonic() - started < 20
