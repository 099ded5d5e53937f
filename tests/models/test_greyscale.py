"""One picture, many spellings: bits, signs, LUTs, windows, polarity, padding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DigitalXRayImageStorageForProcessing,
)

from models.radiograph import read


def grey(picture, bits):
    return np.rint(picture * ((1 << bits) - 1)).astype(np.int64)


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
