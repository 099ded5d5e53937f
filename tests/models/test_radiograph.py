"""Reading a film: what a sender may write, the picture and its facts come out, or a refusal."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path

import gdcm
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForProcessing,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    JPEGLSNearLossless,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from models.part10 import MAX_FILE_BYTES
from models.radiograph import read, read_bytes, read_file
from models.refusal import Refusal

_GDCM_ENCODERS = {
    "JPEG baseline, 8 bits": (gdcm.TransferSyntax.JPEGBaselineProcess1, 8, 0.03),
    "JPEG extended, 8 bits": (gdcm.TransferSyntax.JPEGExtendedProcess2_4, 8, 0.03),
    "JPEG lossless": (gdcm.TransferSyntax.JPEGLosslessProcess14, 14, 0.0),
    "JPEG lossless SV1": (gdcm.TransferSyntax.JPEGLosslessProcess14_1, 12, 0.0),
}


def grey(picture, bits):
    return np.rint(picture * ((1 << bits) - 1)).astype(np.int64)


# --- transfer syntaxes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
    ids=lambda uid: uid.name,
)
def test_an_uncompressed_film_reads_the_same_in_every_encoding(film, picture, syntax):
    ds = film(grey(picture, 12))
    expected = read(ds).pixels
    if syntax == ExplicitVRBigEndian:
        ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
    ds.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    ds.save_as(
        buffer,
        implicit_vr=syntax.is_implicit_VR,
        little_endian=syntax.is_little_endian,
        enforce_file_format=True,
    )
    np.testing.assert_array_equal(read_bytes(buffer.getvalue()).pixels, expected)


@pytest.mark.parametrize(
    ("syntax", "bits", "tolerance"),
    [
        (RLELossless, 8, 0),
        (RLELossless, 16, 0),
        (JPEG2000Lossless, 8, 0),
        (JPEG2000Lossless, 16, 0),
        (JPEG2000, 12, 0.01),
        (JPEGLSLossless, 8, 0),
        (JPEGLSLossless, 15, 0),
        (JPEGLSNearLossless, 12, 0.01),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_a_compressed_film_reads_like_the_uncompressed_one(
    film, to_bytes, picture, syntax, bits, tolerance
):
    ds = film(grey(picture, bits), bits)
    expected = read(ds).pixels
    options = {JPEG2000: {"j2k_cr": [4]}, JPEGLSNearLossless: {"jls_error": 5}}.get(syntax, {})
    ds.compress(syntax, **options)
    found = read_bytes(to_bytes(ds)).pixels
    np.testing.assert_allclose(found, expected, atol=tolerance)


def test_signed_values_survive_compression(film, to_bytes, picture):
    ds = film(grey(picture, 12) - 2048)
    expected = read(ds).pixels
    for syntax in (RLELossless, JPEG2000Lossless, JPEGLSLossless):
        compressed = film(grey(picture, 12) - 2048)
        compressed.compress(syntax)
        np.testing.assert_array_equal(read_bytes(to_bytes(compressed)).pixels, expected)


@pytest.mark.parametrize("name", _GDCM_ENCODERS)
def test_a_film_in_a_jpeg_process_reads_like_the_uncompressed_one(
    film, to_bytes, picture, tmp_path, name
):
    syntax, bits, tolerance = _GDCM_ENCODERS[name]
    ds = film(grey(picture, bits), bits)
    (tmp_path / "plain.dcm").write_bytes(to_bytes(ds))
    reader = gdcm.ImageReader()
    reader.SetFileName(str(tmp_path / "plain.dcm"))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    change.SetInput(reader.GetImage())
    if not change.Change():
        pytest.skip(f"left out: this GDCM has no encoder for {name}")
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(tmp_path / "packed.dcm"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    found = read_file(tmp_path / "packed.dcm")
    np.testing.assert_allclose(found.pixels, read(ds).pixels, atol=tolerance)
    assert found.view == "PA"


@pytest.mark.parametrize(
    "syntax", [HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K], ids=lambda uid: uid.name
)
def test_a_high_throughput_jpeg_2000_film_is_read(film, to_bytes, syntax):
    # ramp.jph: 256 x 256, 8 bits, the value is the row; written with OpenJPH
    ramp = np.tile(np.arange(256)[:, None], (1, 256))
    ds = film(ramp, 8)
    ds.PixelData = encapsulate([(Path(__file__).parent / "ramp.jph").read_bytes()])
    ds.file_meta.TransferSyntaxUID = syntax
    np.testing.assert_allclose(read_bytes(to_bytes(ds)).pixels, ramp / 255, atol=1e-6)


# --- one picture, many spellings -----------------------------------------------------------------


@pytest.mark.parametrize("bits", range(8, 17))
def test_monochrome_1_is_monochrome_2_with_its_values_turned_round(film, picture, bits):
    values = grey(picture, bits)
    white = (1 << bits) - 1
    two = read(film(values, bits))
    one = read(film(white - values, bits, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_allclose(one.pixels, two.pixels, atol=1e-6)


@pytest.mark.parametrize("bits", range(8, 17))
def test_8_to_16_bits_show_the_same_picture(film, picture, bits):
    np.testing.assert_allclose(
        read(film(grey(picture, bits), bits)).pixels, picture, atol=0.6 / 255
    )


@given(
    bits=st.integers(8, 16),
    centre=st.floats(0.2, 0.8),
    width=st.floats(0.1, 1.5),
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
)
@settings(max_examples=25, deadline=None)
def test_signed_values_with_an_intercept_equal_unsigned_ones(
    film, picture, bits, centre, width, function
):
    half = 1 << (bits - 1)
    window = {
        "WindowCenter": round(centre * 2 * half, 1),
        "WindowWidth": round(width * 2 * half, 1),
        "VOILUTFunction": function,
    }
    values = grey(picture, bits)
    unsigned = read(film(values, bits, **window))
    signed = read(film(values - half, bits, RescaleSlope=1, RescaleIntercept=half, **window))
    np.testing.assert_allclose(signed.pixels, unsigned.pixels, atol=1e-6)


@given(first=st.integers(0, 1000), length=st.integers(1000, 3000), bits=st.sampled_from([8, 16]))
@settings(max_examples=20, deadline=None)
def test_a_window_equals_the_voi_lut_that_spells_it_out(film, picture, first, length, bits):
    values = grey(picture, 12)
    white = (1 << bits) - 1
    item = Dataset()
    ramp = np.rint(np.linspace(0, white, length)).astype("<u2")
    item.LUTDescriptor = [length, first, bits]
    item.LUTData = ramp.tobytes()
    item["LUTDescriptor"].VR, item["LUTData"].VR = "US", "OW"
    by_lut = read(film(values, VOILUTSequence=Sequence([item])))
    exact = {"VOILUTFunction": "LINEAR_EXACT"}
    centre = first + (length - 1) / 2
    by_window = read(film(values, WindowCenter=centre, WindowWidth=length - 1, **exact))
    np.testing.assert_allclose(by_lut.pixels, by_window.pixels, atol=0.51 / white + 1e-6)


def test_an_eight_bit_lut_may_be_packed_or_spread_over_words(film, picture):
    values = grey(picture, 8)
    ramp = np.linspace(0, 255, 256).astype("u1")
    found = []
    for data in (ramp.tobytes(), ramp.astype("<u2").tobytes()):
        item = Dataset()
        item.LUTDescriptor, item.LUTData = [256, 0, 8], data
        item["LUTDescriptor"].VR, item["LUTData"].VR = "US", "OW"
        found.append(read(film(values, 8, VOILUTSequence=Sequence([item]))).pixels)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_allclose(found[0], picture, atol=0.6 / 255)


def test_the_modality_lut_comes_before_the_window(film, picture):
    values = grey(picture, 10)
    item = Dataset()
    item.LUTDescriptor = [1024, 0, 16]
    item.LUTData = (np.arange(1024) * 64).astype("<u2").tobytes()
    item["LUTDescriptor"].VR, item["LUTData"].VR = "US", "OW"
    window = {"WindowCenter": 32000, "WindowWidth": 20000}
    by_lut = read(film(values, 10, ModalityLUTSequence=Sequence([item]), **window))
    by_slope = read(film(values, 10, RescaleSlope=64, RescaleIntercept=0, **window))
    np.testing.assert_allclose(by_lut.pixels, by_slope.pixels, atol=1e-6)


def test_the_linear_window_is_the_one_of_the_standard(film):
    # PS3.3 C.11.2.1.2.1, its example: centre 2048, width 4096 maps 0 to the least, 4095 to the most
    values = np.tile(np.arange(4096).reshape(16, 256), (17, 1))
    shown = read(film(values, WindowCenter=2048, WindowWidth=4096)).pixels
    np.testing.assert_allclose(shown, values / 4095, atol=1e-6)


def test_a_sigmoid_window_is_half_bright_at_its_centre(film, picture):
    values = grey(picture, 12)
    values[0, 0] = 1000
    tags = {"WindowCenter": 1000, "WindowWidth": 400, "VOILUTFunction": "SIGMOID"}
    assert read(film(values, **tags)).pixels[0, 0] == pytest.approx(0.5)


def test_the_first_of_several_windows_counts(film, picture):
    values = grey(picture, 12)
    several = read(film(values, WindowCenter=[1500, 40], WindowWidth=[1000, 80]))
    single = read(film(values, WindowCenter=1500, WindowWidth=1000))
    np.testing.assert_array_equal(several.pixels, single.pixels)


@pytest.mark.parametrize("tags", [{"WindowWidth": 0}, {"WindowCenter": 60000}, {"WindowWidth": -9}])
def test_a_window_that_shows_nothing_is_passed_over(film, picture, tags):
    values = grey(picture, 12)
    shown = read(film(values, **{"WindowCenter": 2000, "WindowWidth": 100, **tags})).pixels
    np.testing.assert_allclose(shown, picture, atol=0.01)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_the_shape_inverse_and_monochrome_1_turn_a_film_round_once(film, picture, photometric):
    values = grey(picture, 12)
    tags = {"PhotometricInterpretation": photometric, "PresentationLUTShape": "INVERSE"}
    np.testing.assert_allclose(read(film(values, **tags)).pixels, 1 - picture, atol=0.001)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_whatever_the_polarity(film, picture, photometric):
    values = 200 + grey(picture, 10)
    values[:40] = 5
    values[40:60] = 9
    tags = {"PixelPaddingValue": 5, "PixelPaddingRangeLimit": 9}
    shown = read(film(values, PhotometricInterpretation=photometric, **tags)).pixels
    assert not shown[:60].any()
    assert shown[60:].any()


def test_padding_does_not_set_the_range(film, picture):
    values = grey(picture, 8) + 300
    tags = {"PresentationIntentType": "FOR PROCESSING", "PixelIntensityRelationship": "LOG"}
    values[:100] = 65535
    shown = read(film(values, 16, PixelPaddingValue=65535, **tags)).pixels
    assert np.ptp(shown[100:]) > 0.95


def test_overlays_and_rubbish_in_the_unused_bits_leave_no_trace(film, picture):
    values = grey(picture, 12)
    clean = read(film(values)).pixels
    ds = film(values)
    dirty = values | (np.random.default_rng(0).integers(0, 16, values.shape) << 12)
    ds.PixelData = dirty.astype("<u2").tobytes()
    ds.add_new(0x60000010, "US", 260)
    ds.add_new(0x60000011, "US", 256)
    ds.add_new(0x60000040, "CS", "G")
    ds.add_new(0x60000100, "US", 16)
    ds.add_new(0x60000102, "US", 12)
    np.testing.assert_array_equal(read(ds).pixels, clean)


def test_values_in_the_high_bits_are_shifted_down(film, picture):
    values = grey(picture, 12)
    ds = film(values, HighBit=15)
    ds.PixelData = (values << 4).astype("<u2").tobytes()
    np.testing.assert_array_equal(read(ds).pixels, read(film(values)).pixels)


def test_twelve_bits_of_values_in_sixteen_declared_are_not_left_dark(film, picture):
    shown = read(film(grey(picture, 12), 16)).pixels
    assert np.corrcoef(shown.ravel(), picture.ravel())[0, 1] > 0.99
    assert np.ptp(shown) == 1


def test_a_flat_film_stays_flat(film):
    assert np.ptp(read(film(np.full((300, 300), 700) + np.eye(300, dtype=int))).pixels) < 0.01


@pytest.mark.parametrize(("relationship", "sign"), [("LIN", 1), ("LOG", 1), ("LOG", -1)])
def test_a_film_for_processing_is_shown_by_the_logarithm_of_its_dose(
    film, picture, relationship, sign
):
    dose = np.exp(-4 * picture)  # white is dense: little beam behind it
    scaled = dose if relationship == "LIN" else (np.log(dose) + 4) / 4
    values = grey(scaled if sign == 1 else 1 - scaled, 14)
    ds = film(
        values,
        14,
        SOPClassUID=DigitalXRayImageStorageForProcessing,
        PresentationIntentType="FOR PROCESSING",
        PixelIntensityRelationship=relationship,
        PixelIntensityRelationshipSign=sign,
    )
    shown = read(ds).pixels
    assert np.corrcoef(shown.ravel(), picture.ravel())[0, 1] > 0.99
    assert np.ptp(shown) == pytest.approx(1.0)


# --- secondary captures --------------------------------------------------------------------------


def test_a_grey_film_captured_in_colour_is_its_luminance(film, picture):
    values = grey(picture, 8)
    colour = film(np.repeat(values[..., None], 3, -1), 8, SOPClassUID=SecondaryCaptureImageStorage)
    np.testing.assert_allclose(read(colour).pixels, picture, atol=0.6 / 255)


def test_ybr_and_planar_colour_give_the_same_luminance(film, picture):
    values = np.repeat(grey(picture, 8)[..., None], 3, -1)
    planar = film(values, 8, PlanarConfiguration=1)
    planar.PixelData = values.transpose(2, 0, 1).astype("u1").tobytes()
    ybr = np.full_like(values, 128)
    ybr[..., 0] = values[..., 0]
    for ds in (planar, film(ybr, 8, PhotometricInterpretation="YBR_FULL")):
        np.testing.assert_allclose(read(ds).pixels, picture, atol=1.5 / 255)


def test_a_palette_is_looked_up_before_its_luminance(film, picture):
    ds = film(255 - grey(picture, 8), 8, PhotometricInterpretation="PALETTE COLOR")
    for name in ("Red", "Green", "Blue"):
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 8])
        setattr(ds, f"{name}PaletteColorLookupTableData", bytes(range(255, -1, -1)))
    np.testing.assert_allclose(read(ds).pixels, picture, atol=0.6 / 255)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_multi_frame_capture_of_one_frame_is_a_film(film, picture, compressed):
    word = film(
        grey(picture, 12),
        SOPClassUID=MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
        NumberOfFrames=1,
    )
    colour = film(
        np.repeat(grey(picture, 8)[..., None], 3, -1),
        8,
        SOPClassUID=MultiFrameTrueColorSecondaryCaptureImageStorage,
        NumberOfFrames=1,
    )
    for ds in (word, colour):
        if compressed:
            ds.compress(RLELossless)
        np.testing.assert_allclose(read(ds).pixels, picture, atol=0.01)


# --- what the film says about itself -------------------------------------------------------------


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


# --- pictures ------------------------------------------------------------------------------------


def saved(array, kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def test_png_and_jpeg_read_as_the_picture_they_show(picture):
    eight, sixteen = grey(picture, 8).astype("u1"), grey(picture, 16).astype("u2")
    for data in (
        saved(eight, "PNG"),
        saved(sixteen, "PNG"),
        saved(np.repeat(eight[..., None], 3, -1), "PNG"),
        saved(np.dstack([eight] * 3 + [np.full_like(eight, 255)]), "PNG"),
        saved(eight, "JPEG", quality=98),
        saved(np.repeat(eight[..., None], 3, -1), "JPEG", quality=98),
    ):
        np.testing.assert_allclose(read_bytes(data).pixels, picture, atol=0.02)


def test_a_jpeg_is_turned_as_its_exif_says(picture):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to show
    turned = read_bytes(saved(grey(picture, 8).astype("u1"), "JPEG", quality=98, exif=exif))
    np.testing.assert_allclose(turned.pixels, np.rot90(picture, -1), atol=0.02)


def test_the_content_decides_what_a_file_is(film, to_bytes, picture, tmp_path):
    (tmp_path / "film.png").write_bytes(to_bytes(film(grey(picture, 8), 8)))
    (tmp_path / "film.dcm").write_bytes(saved(grey(picture, 8).astype("u1"), "PNG"))
    assert read_file(tmp_path / "film.png").view == "PA"
    assert read_file(tmp_path / "film.dcm").view == ""


# --- refusals ------------------------------------------------------------------------------------


def code_of(data):
    with pytest.raises(Refusal) as refused:
        read_bytes(data)
    return refused.value.code


def test_a_file_cut_short_is_truncated_in_every_syntax(film, to_bytes, picture):
    for syntax in (None, RLELossless, JPEG2000Lossless, JPEGLSLossless):
        ds = film(grey(picture, 8), 8)
        if syntax is not None:
            ds.compress(syntax)
        data = to_bytes(ds)
        for share in (0.5, 0.9, 0.99):
            assert code_of(data[: int(len(data) * share)]) == "truncated", (syntax, share)


def test_a_film_whose_pixel_data_is_missing_is_truncated(film, to_bytes, picture):
    assert code_of(to_bytes(film(grey(picture, 8), 8, PixelData=None))) == "truncated"


def test_pictures_cut_short_are_truncated(picture):
    for kind in ("PNG", "JPEG"):
        data = saved(grey(picture, 8).astype("u1"), kind)
        assert code_of(data[: len(data) * 2 // 3]) == "truncated", kind


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 500, b"no film", b"%PDF-1.4" * 99, b"\x08\0 nonsense" * 30]
)
def test_what_is_no_image_is_undecodable(data):
    assert code_of(data) in {"undecodable", "truncated"}


def test_a_missing_file_or_a_folder_is_refused_not_raised(tmp_path):
    for path in (tmp_path / "gone.dcm", tmp_path):
        with pytest.raises(Refusal, match="undecodable"):
            read_file(path)


def test_a_small_film_is_too_small(film, to_bytes, picture):
    assert code_of(to_bytes(film(grey(picture, 8)[:223], 8))) == "too_small"
    assert code_of(saved(grey(picture, 8).astype("u1")[:, :200], "PNG")) == "too_small"


@pytest.mark.parametrize(
    "tags",
    [
        {"Rows": 30000, "Columns": 30000},
        {"NumberOfFrames": 1000},
        {"BitsStored": 0},
        {"BitsAllocated": 12},
        {"PhotometricInterpretation": "CMYK"},
        {"Rows": None},
    ],
)
def test_a_film_that_declares_the_absurd_is_undecodable(film, to_bytes, picture, tags):
    assert code_of(to_bytes(film(grey(picture, 8), 8, **tags))) == "undecodable"


def test_a_code_stream_larger_than_declared_is_not_decoded(film, to_bytes, picture):
    for syntax in (JPEG2000Lossless, JPEGLSLossless):
        ds = film(np.tile(grey(picture, 8), (4, 4)), 8)
        ds.compress(syntax)
        ds.Rows, ds.Columns = 260, 256
        assert code_of(to_bytes(ds)) == "undecodable"


def test_a_deflated_bomb_is_not_unfolded(film, to_bytes, monkeypatch):
    ds = film(np.zeros((3000, 3000), int), 8)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data = to_bytes(ds)
    assert len(data) < 20_000
    monkeypatch.setattr("models.part10.MAX_FILE_BYTES", 1 << 20)
    assert code_of(data) == "undecodable"
    assert MAX_FILE_BYTES >= 1 << 28


def test_another_modality_is_unlike_training(film, to_bytes, picture):
    slices = film(grey(picture, 12), SOPClassUID=CTImageStorage, Modality="CT")
    captured = film(grey(picture, 12), SOPClassUID=SecondaryCaptureImageStorage, Modality="US")
    for ds in (slices, captured):
        assert code_of(to_bytes(ds)) == "unlike_training"


def test_a_refusal_names_the_file_but_never_the_patient(film, to_bytes, picture):
    ds = film(grey(picture, 8), 8, BitsStored=0, PatientName="Doe^Jane", PatientID="SECRET7")
    with pytest.raises(Refusal, match="ward/film") as refused:
        read_bytes(to_bytes(ds), name="ward/film")
    assert "Doe" not in str(refused.value)
    assert "SECRET7" not in str(refused.value)


def test_whatever_the_bytes_only_a_radiograph_or_a_refusal_comes_out(film, to_bytes, picture):
    rng = np.random.default_rng(7)
    small = grey(picture, 12)
    sources = [to_bytes(film(small, WindowCenter=2000, WindowWidth=4000, PixelSpacing=[0.2, 0.2]))]
    for syntax in (RLELossless, JPEG2000Lossless, JPEGLSLossless):
        ds = film(small)
        ds.compress(syntax)
        sources.append(to_bytes(ds))
    ds = film(small)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    sources.append(to_bytes(ds))
    sources += [saved(grey(picture, 8).astype("u1"), kind) for kind in ("PNG", "JPEG")]
    for turn in range(350):
        data = bytearray(sources[turn % len(sources)])
        for _ in range(int(rng.integers(1, 12))):
            reach = len(data) if rng.random() < 0.3 else min(len(data), 1200)
            data[int(rng.integers(0, reach))] = int(rng.choice([0, 255, rng.integers(0, 256)]))
        if rng.random() < 0.2:
            data = data[: int(rng.integers(0, len(data)))]
        try:
            found = read_bytes(bytes(data))
        except Refusal:
            continue
        else:
            assert found.pixels.dtype == np.float32
            assert np.isfinite(found.pixels).all()
            assert found.pixels.min() >= 0
            assert found.pixels.max() <= 1


# --- real films ----------------------------------------------------------------------------------


def test_the_five_real_films_are_read(shared_data: Path):
    folder = shared_data / "dicom"
    films = {path.stem: read_file(path) for path in sorted(folder.glob("*.dcm"))}
    assert len(films) == 5
    for film in films.values():
        assert np.ptp(film.pixels) > 0.5
    baseline = films["chest_cr_jpeg_baseline"]
    assert (baseline.view, baseline.spacing_mm) == ("PA", (0.168, 0.168))
    two, ls = films["chest_cr_monochrome1_jpeg2000"], films["chest_cr_monochrome1_jpegls"]
    assert two.spacing_mm is None  # the file states 0.000
    assert np.abs(two.pixels - ls.pixels).mean() < 0.01  # one film, two encodings
    assert films["hip_cr_rle"].body_part == "HIP"


def test_on_both_polarities_of_real_films_the_lungs_are_darker_than_the_mediastinum(shared_data):
    for path in sorted((shared_data / "dicom").glob("chest*.dcm")):
        pixels = read_file(path).pixels
        rows, columns = pixels.shape
        band = pixels[int(rows * 0.35) : int(rows * 0.5)]
        lung = band[:, int(columns * 0.25) : int(columns * 0.35)].mean()
        spine = band[:, int(columns * 0.45) : int(columns * 0.52)].mean()
        assert spine > lung + 0.05, path.name


def test_a_computed_radiograph_reads_like_a_digital_one(film, picture):
    ds = film(grey(picture, 10), 10, SOPClassUID=ComputedRadiographyImageStorage, Modality="CR")
    np.testing.assert_allclose(read(ds).pixels, picture, atol=0.01)
    assert isinstance(ds, pydicom.Dataset)
