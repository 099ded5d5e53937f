"""The one way in: durable order, duplicates, conflicts, refusals."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
    generate_uid,
)

from service import metrics
from service.dicom import dicom_json
from service.dicom.ingest import Ingest
from service.errors import CarinaError, InvalidObjectError, OutOfResourcesError, TooLargeError
from tests.service.dicom.conftest import NOW, Ward
from tests.service.dicom.films import as_file, film


def take(ward: Ward, data: bytes, **named: str) -> str:
    return ward.ingest.take(data, source="import", actor="tester", **named).outcome


@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    ],
)
def test_the_bytes_are_kept_as_sent_and_the_rows_tell_what_they_are(ward, syntax):
    ds = film(syntax=syntax)
    data = as_file(ds)

    assert take(ward, data) == "stored"

    instance = ward.index.instance(ds.SOPInstanceUID)
    assert ward.objects.get(instance.object_key) == data
    assert instance.transfer_syntax_uid == syntax
    assert instance.modality == "CR"
    study = ward.index.study(ds.StudyInstanceUID)
    assert study.acquired_at == NOW.replace(hour=9, minute=15)
    assert (study.accession_number, study.description) == ("A17", "Chest")
    patient = ward.index.patient("P1")
    assert patient.name == "Müller^Anna"
    assert patient.sex == "F"
    assert patient.birth_date is not None
    assert patient.birth_date.year == 1950
    assert ward.arrived == [ds.StudyInstanceUID]
    event = ward.index.audits(patient_id="P1")[0]
    assert (event.action, event.actor) == ("receive", "tester")


def test_a_received_data_set_becomes_a_file_with_the_same_bytes(ward):
    data = as_file(film())
    start = 132 + 12 + int.from_bytes(data[140:144], "little")

    taken = ward.ingest.take(
        data[start:],
        source="c-store:X",
        actor="X",
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )

    kept = ward.objects.get(ward.index.instance(taken.sop_instance_uid).object_key)
    assert kept[128:132] == b"DICM"
    assert kept.endswith(data[start:])
    assert ward.ingest.take(kept, source="import", actor="X").outcome == "duplicate"


def test_the_same_object_again_is_success_without_a_second_copy(ward):
    data = as_file(film())

    assert [take(ward, data) for _ in range(3)] == ["stored", "duplicate", "duplicate"]

    assert len(ward.files()) == 1
    assert len(ward.arrived) == 3  # the first call may have been lost with the process


@pytest.mark.parametrize("lose", [Path.unlink, lambda file: file.write_bytes(b"rot")])
def test_an_object_whose_bytes_were_lost_is_kept_again_when_it_is_sent_again(ward, lose):
    ds = film()
    data = as_file(ds)
    take(ward, data)
    (file,) = ward.files()
    lose(file)

    assert take(ward, data) == "duplicate"

    assert ward.objects.get(ward.index.instance(ds.SOPInstanceUID).object_key) == data
    assert ward.files() == [file]


def test_what_becomes_of_each_object_is_counted_by_the_way_it_came(ward, monkeypatch):
    def take_by_stow(data: bytes) -> None:
        with suppress(CarinaError):
            ward.ingest.take(data, source="stow:ada", actor="ada")

    before, ds = metrics.received(), film()
    data = as_file(ds)
    take_by_stow(data)
    take_by_stow(data)
    ds.PatientName = "Other"
    take_by_stow(as_file(ds))
    take_by_stow(b"no film")
    take_by_stow(bytes(17 << 20))
    monkeypatch.setattr(ward.objects, "free_mb", lambda: 0)
    take_by_stow(as_file(film()))
    counted = metrics.received()
    assert {name for name in counted if counted[name] == before.get(name, 0) + 1} == {
        "stow stored", "stow duplicate", "stow conflict", "stow refused", "stow too_large",
        "stow out_of_resources",
    }  # fmt: skip


def test_the_same_object_from_many_senders_at_once_is_kept_once(ward):
    data = as_file(film())
    with ThreadPoolExecutor(8) as senders:
        outcomes = sorted(senders.map(lambda _: take(ward, data), range(16)))
    assert outcomes == ["duplicate"] * 15 + ["stored"]
    assert len(ward.files()) == 1


def test_different_objects_of_a_study_at_once_are_all_kept(ward):
    first = film()
    films = [film(study_uid=first.StudyInstanceUID, seed=n) for n in range(12)]
    with ThreadPoolExecutor(6) as senders:
        outcomes = set(senders.map(lambda ds: take(ward, as_file(ds)), films))
    assert outcomes == {"stored"}
    kept = ward.index.instances(first.StudyInstanceUID)
    assert {i.sop_instance_uid for i in kept} == {ds.SOPInstanceUID for ds in films}


def test_other_bytes_under_the_same_uid_are_kept_aside_and_never_take_its_place(ward):
    ds = film()
    first = as_file(ds)
    take(ward, first)
    ds.PatientName = "Changed^Anna"

    assert take(ward, as_file(ds)) == "conflict"

    instance = ward.index.instance(ds.SOPInstanceUID)
    assert ward.objects.get(instance.object_key) == first
    assert len(ward.files()) == 2
    assert ward.index.counts()["instances_conflict"] == 1
    assert take(ward, as_file(ds)) == "duplicate"
    assert len(ward.files()) == 2
    assert len(ward.arrived) == 2  # the conflict did not start anything


def test_what_is_kept_but_never_scored_starts_nothing(ward):
    ds = film(sop_class=GrayscaleSoftcopyPresentationStateStorage)

    assert take(ward, as_file(ds)) == "stored"

    assert ward.arrived == []


def test_a_queue_that_does_not_answer_leaves_the_object_unacknowledged_and_sending_again_heals(
    ward,
):
    calls = []

    def arrived(study_uid: str) -> None:
        calls.append(study_uid)
        if len(calls) == 1:
            raise ConnectionError

    ingest = Ingest(ward.index, ward.objects, arrived, lambda: NOW)
    data = as_file(film())

    with pytest.raises(OutOfResourcesError):
        ingest.take(data, source="import", actor="X")
    assert ingest.take(data, source="import", actor="X").outcome == "duplicate"

    assert len(calls) == 2
    assert len(ward.files()) == 1


def test_a_full_disk_refuses_and_recovers_by_itself(ward, monkeypatch):
    data = as_file(film())
    with monkeypatch.context() as patch:
        patch.setattr(ward.objects, "free_mb", lambda: 3, raising=True)
        with pytest.raises(OutOfResourcesError, match="3 MB"):
            take(ward, data)
    assert ward.files() == []
    assert take(ward, data) == "stored"


def test_too_large_is_refused_before_anything_is_written(ward):
    with pytest.raises(TooLargeError):
        take(ward, bytes(17 << 20))
    assert ward.files() == []


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize("value", ["", "../../etc/passwd", "1.2/3", "...", "1." * 40, "1.2\\1.3"])
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_a_uid_that_is_none_is_refused(ward, keyword, value):
    ds = film()
    del ds[keyword]
    if value:
        ds.add_new(keyword, "LO", value)  # the tag counts, not the value representation
    with pytest.raises(InvalidObjectError, match=keyword):
        take(ward, as_file(ds))
    assert ward.files() == []


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_quirks_that_harm_nobody_are_taken(ward):
    ds = film(patient_id="")
    ds.add_new("StudyInstanceUID", "LO", "1.2.03.STUDY-7")
    ds.add_new("PatientID", "LO", "  P 7 \r\n")
    ds.add_new("StudyDate", "LO", "2026.03.01")
    ds.add_new("StudyTime", "LO", "nonsense")
    ds.add_new("PatientSex", "CS", "female")
    ds.add_new("SpecificCharacterSet", "CS", "KLINGON")
    ds.add_new("PatientBirthDate", "LO", "31.12.1950")

    assert take(ward, as_file(ds)) == "stored"

    patient = ward.index.patient("P 7")
    assert (patient.sex, patient.birth_date) == ("F", None)
    assert ward.index.study("1.2.03.STUDY-7").acquired_at == NOW.replace(month=2, day=28, hour=23)


def test_patients_without_an_id_are_never_taken_for_one(ward):
    first, second = film(patient_id=""), film(patient_id="")
    for ds in (first, second):
        take(ward, as_file(ds))
    ids = {ward.index.study(ds.StudyInstanceUID).patient_id for ds in (first, second)}
    assert len(ids) == 2


def test_names_in_other_scripts_are_read(ward):
    ds = film()
    ds.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    ds.PatientName = "Yamada^Tarou=山田^太郎"
    take(ward, as_file(ds))
    assert ward.index.patient("P1").name == "Yamada^Tarou=山田^太郎"


def test_a_chinese_name_is_read_without_its_escape_sequences(ward):
    name = b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab="  # as PS3.5 annex K has it
    ds = film()
    ds.SpecificCharacterSet = ["", "ISO 2022 IR 58"]
    ds.PatientName = "X" * len(name)
    data = as_file(ds).replace(b"X" * len(name), name)
    take(ward, data)
    assert ward.index.patient("P1").name == "Zhang^XiaoDong=张^小东="
    told = dicom_json.of_header(pydicom.dcmread(io.BytesIO(data)))
    assert told["00100010"]["Value"][0]["Ideographic"] == "张^小东"


def test_a_file_without_its_preamble_is_given_one(ward):
    ds = film()
    data = as_file(ds)
    assert take(ward, data[132:]) == "stored"
    assert take(ward, data) == "duplicate"


def test_an_announced_uid_that_differs_from_the_data_set_is_refused(ward):
    with pytest.raises(InvalidObjectError, match="announced"):
        take(ward, as_file(film()), announced_uid=generate_uid())


def test_a_private_or_unknown_class_is_refused(ward):
    with pytest.raises(InvalidObjectError, match="conformance"):
        take(ward, as_file(film(sop_class=generate_uid())))


@pytest.mark.parametrize("data", [b"", b"DICM", bytes(200), b"\x89PNG" + bytes(300)])
def test_other_files_are_refused(ward, data):
    with pytest.raises(InvalidObjectError, match="DICM"):
        take(ward, data)


def test_the_same_data_set_by_another_way_is_a_duplicate(ward):
    whole = as_file(film())
    encoded = whole[whole.index(b"\x08\x00\x05\x00CS") :]
    by_dimse = {"source": "c-store:PACS", "actor": "PACS",
                "transfer_syntax_uid": ExplicitVRLittleEndian}  # fmt: skip
    ward.ingest.take(whole, source="stow:ada", actor="ada")
    assert ward.ingest.take(encoded, **by_dimse).outcome == "duplicate"
    assert len(ward.files()) == 1
    assert ward.ingest.take(encoded[:-2] + b"\xff\x0f", **by_dimse).outcome == "conflict"
