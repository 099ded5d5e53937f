"""Exports name nobody: checked with every element of the dictionary."""

from __future__ import annotations

import io

import pytest
from pydicom import dcmread
from pydicom.datadict import DicomDictionary
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from models.refusal import Refusal
from service.dicom.deidentify import (
    KEPT,
    deidentified,
    deidentify,
    patient_key,
    pseudonym,
    pseudonymous_uid,
)
from service.errors import InvalidObjectError
from tests.service.dicom.films import as_file, film

KEY = b"one export"
WHO = "ANON-1"
SECRET = "ZYXWVUT"
TEXT_VRS = {"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"}
MOMENTS = {"DA": "19991231", "TM": "235958", "DT": "19991231235958", "AS": "077Y"}


def talkative() -> Dataset:
    """A film with a telling value in every element that the dictionary knows."""
    ds = film()
    for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
        if keyword in ds or keyword in KEPT or tag >> 16 in (0x0000, 0x0002, 0xFFFE):
            continue
        if vr in TEXT_VRS:
            ds.add(DataElement(tag, vr, SECRET))
        elif vr in MOMENTS:
            ds.add(DataElement(tag, vr, MOMENTS[vr]))
        elif vr == "SQ":
            item = Dataset()
            item.PatientName = SECRET
            ds.add(DataElement(tag, vr, [item]))
    ds.add_new(0x00091001, "LO", SECRET)
    ds.add_new(0x60003000, "OB", SECRET.encode() + b"\0")
    for keyword in ("PatientID", "PatientName", "AccessionNumber", "StudyID", "StudyDescription"):
        setattr(ds, keyword, SECRET)
    return ds


def test_nothing_telling_is_left_of_a_film_that_fills_every_element():
    ds = talkative()
    assert len(ds) > 2000

    data = as_file(deidentify(ds, WHO, KEY))

    assert SECRET.encode() not in data
    for moment in MOMENTS.values():
        assert moment.encode() not in data
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        assert ds[keyword].value.encode() not in data


def test_the_picture_stays_as_it_is():
    ds = film()
    out = dcmread(io.BytesIO(as_file(deidentify(ds, WHO, KEY))))
    assert (out.pixel_array == ds.pixel_array).all()
    assert (out.ViewPosition, out.Modality, out.SOPClassUID) == ("PA", "CR", ds.SOPClassUID)
    assert out.PatientIdentityRemoved == "YES"
    assert out.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
    assert out.StudyDate == ""


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_a_film_keeps_its_transfer_syntax_and_its_pixels(syntax: UID):
    ds = film(syntax=syntax)
    made = deidentified(as_file(ds), WHO, KEY)
    out = dcmread(io.BytesIO(made.data))
    assert out.file_meta.TransferSyntaxUID == syntax
    assert out.PixelData == ds.PixelData
    assert (out.PatientID, made.view, made.rows, made.spacing_mm) == (WHO, "PA", 64, (0.2, 0.2))


def test_a_value_in_a_form_that_its_tag_does_not_have_goes():
    ds = film()
    ds.add(DataElement("ViewCodeSequence", "OB", SECRET.encode() + b"\0"))
    ds.add(DataElement("ImageType", "UT", SECRET))
    assert SECRET.encode() in as_file(ds)
    assert SECRET.encode() not in as_file(deidentify(ds, WHO, KEY))


@pytest.mark.parametrize("size", [0, 140, 400, 900])
def test_half_a_film_is_refused(size: int):
    with pytest.raises(Refusal):
        deidentified(as_file(film())[:size], WHO, KEY)


def test_films_of_a_patient_stay_together_within_one_export_only():
    assert pseudonym("A", KEY) == pseudonym("A", KEY) != pseudonym("B", KEY)
    assert pseudonym("A", KEY) != pseudonym("A", b"another export")
    assert patient_key("A", KEY) == patient_key("A", KEY) != patient_key("B", KEY)
    assert deidentify(film(patient_id="A"), WHO, KEY).PatientID == WHO
    uid = pseudonymous_uid("1.2.3", KEY)
    assert uid.is_valid
    assert uid == pseudonymous_uid("1.2.3", KEY) != pseudonymous_uid("1.2.4", KEY)


def test_a_film_with_burned_in_text_is_not_exported():
    ds = film()
    ds.BurnedInAnnotation = "YES"
    with pytest.raises(InvalidObjectError, match="burned-in"):
        deidentify(ds, WHO, KEY)
