"""What a film says about itself: spacing, view, time, names."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from models.radiograph import read, read_bytes


def grey(picture, bits):
    return np.rint(picture * ((1 << bits) - 1)).astype(np.int64)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"PixelSpacing": [0.2, 0.3], "ImagerPixelSpacing": [0.4, 0.4]}, (0.2, 0.3)),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.4, 0.4]}, (0.4, 0.4)),
        (
            {
                "ImagerPixelSpacing": [0.22, 0.22],
                "EstimatedRadiographicMagnificationFactor": "1.1",
            },
            (0.2, 0.2),
        ),
        (
            {"ImagerPixelSpacing": [0.2, 0.2], "EstimatedRadiographicMagnificationFactor": "0"},
            (0.2, 0.2),
        ),
        ({"NominalScannedPixelSpacing": [0.1, 0.1]}, (0.1, 0.1)),
        ({"PixelSpacing": [0.2]}, None),
        ({"PixelSpacing": [900, 900]}, None),
        ({}, None),
    ],
)
def test_the_spacing_comes_from_the_right_tag(film, picture, tags, expected):
    found = read(film(grey(picture, 8), 8, **tags)).spacing_mm
    assert found == (None if expected is None else pytest.approx(expected))


def coded_view(value, scheme, meaning=""):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return {"ViewCodeSequence": Sequence([item])}


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"ViewPosition": "AP"}, "AP"),
        ({"ViewPosition": "LL"}, "LATERAL"),
        ({"ViewPosition": "RLD"}, "OTHER"),
        ({"ViewPosition": "LATERAL"}, "LATERAL"),
        ({"ViewPosition": "AP_SUPINE"}, "AP"),
        ({"ViewPosition": "ERECT"}, ""),
        ({"ViewPosition": "ERECT", "ProtocolName": "Thorax PA"}, "PA"),
        (coded_view("272479007", "SCT"), "PA"),
        (coded_view("R-10206", "SRT"), "AP"),
        (coded_view("X1", "99SITE", "left lateral"), "LATERAL"),
        ({"PatientOrientation": ["P", "F"]}, "LATERAL"),
        ({"PatientOrientation": ["L", "F"]}, ""),
        ({"SeriesDescription": "view: PA"}, "PA"),
        ({"SeriesDescription": "Chest a.p. portable"}, "AP"),
        ({"SeriesDescription": "CHEST PA/LAT"}, ""),
        ({"SeriesDescription": "W Chest", "ProtocolName": "Chest lat."}, "LATERAL"),
        ({"ProtocolName": "lateral decubitus"}, "OTHER"),
        ({"SeriesDescription": "happy map"}, ""),
        ({}, ""),
    ],
)
def test_the_view_comes_from_whichever_element_names_it(film, picture, tags, expected):
    ds = film(grey(picture, 8), 8, **{"ViewPosition": "", **tags})
    assert read(ds).view == expected


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (
            {"AcquisitionDateTime": "20200401101112.5+0200"},
            datetime(2020, 4, 1, 10, 11, 12, 500000),
        ),
        ({"AcquisitionDate": "20200401", "AcquisitionTime": "1011"}, datetime(2020, 4, 1, 10, 11)),
        ({"ContentDate": "20200401", "StudyDate": "19990101"}, datetime(2020, 4, 1)),
        ({"StudyDate": "20200401", "StudyTime": "235959"}, datetime(2020, 4, 1, 23, 59, 59)),
        ({"StudyDate": ""}, None),
        ({}, None),
    ],
)
def test_the_time_is_the_first_that_is_stated(film, picture, tags, expected):
    assert read(film(grey(picture, 8), 8, **tags)).acquired_at == expected


def test_uids_body_part_and_patient_are_kept(film, picture):
    ds = film(grey(picture, 8), 8)
    found = read(ds)
    assert (found.sop_instance_uid, found.study_instance_uid) == (
        ds.SOPInstanceUID,
        ds.StudyInstanceUID,
    )
    assert (found.series_instance_uid, found.patient_id) == (ds.SeriesInstanceUID, "P1")
    assert found.body_part == "CHEST"


def test_a_bad_value_in_an_optional_element_does_not_cost_the_film(film, to_bytes, picture):
    ds = film(grey(picture, 8), 8, PixelSpacing=[0.25, 0.25], StudyDate="20200101")
    data = to_bytes(ds).replace(b"0.25\\0.25 ", b"0,25\\0,25 ").replace(b"20200101", b"1 Jan 20")
    found = read_bytes(data)
    assert (found.spacing_mm, found.acquired_at) == (None, None)
    np.testing.assert_allclose(found.pixels, picture, atol=0.01)


def test_a_data_set_without_file_meta_is_read_as_implicit(film, picture):
    ds = film(grey(picture, 12))
    expected = read(ds).pixels
    del ds.file_meta
    np.testing.assert_array_equal(read(ds).pixels, expected)
