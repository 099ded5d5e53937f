"""Queries on the DICOM port, asked by pynetdicom and by dcmtk."""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import subprocess
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_FIND

from service.dicom import find, message
from service.dicom.deliver import send
from service.dicom.find import LEVELS, PATIENT_ROOT, STUDY_ROOT, Finder
from service.dicom.listener import Listener
from service.errors import UsageError
from tests.service.dicom.films import as_file, film

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def identifier(level: str, **keys: str) -> Dataset:
    ds = Dataset()
    ds.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        tag = tag_for_keyword(keyword)
        ds.add(DataElement(tag, dictionary_VR(tag), value, validation_mode=IGNORE))
    return ds


def ask(
    listener: Listener, question: Dataset, model: str = STUDY_ROOT
) -> tuple[int, list[Dataset]]:
    """Final status and matches of one C-FIND with pynetdicom."""
    ae = AE(ae_title="PACS")
    ae.add_requested_context(model)
    assoc = ae.associate("127.0.0.1", listener.port, ae_title="CARINA")
    assert assoc.is_established
    answers = list(assoc.send_c_find(question, model))
    assoc.release()
    matches = [match for status, match in answers if status.Status in (0xFF00, 0xFF01)]
    return answers[-1][0].Status, [match for match in matches if match is not None]


def ask_in_bytes(listener: Listener, *identifiers: bytes) -> list[int]:
    """Final status of each question, whatever its bytes are, over one association."""
    ae = AE(ae_title="PACS")
    ae.add_requested_context(STUDY_ROOT, ImplicitVRLittleEndian)
    assoc = ae.associate("127.0.0.1", listener.port, ae_title="CARINA")
    assert assoc.is_established
    statuses = []
    assoc._reactor_checkpoint.clear()  # else its own thread would take an answer now and then
    for number, data in enumerate(identifiers, 1):
        asked = C_FIND()
        asked.MessageID, asked.Priority, asked.AffectedSOPClassUID = number, 2, STUDY_ROOT
        asked.Identifier = io.BytesIO(data)
        assoc.dimse.send_msg(asked, assoc.accepted_contexts[0].context_id)
        answer = C_FIND()
        answer.Status = 0xFF00
        while answer.Status in (0xFF00, 0xFF01):
            _, answer = assoc.dimse.get_msg(block=True)
        statuses.append(answer.Status)
    assoc._reactor_checkpoint.set()
    assoc.release()
    return statuses


def element(tag: bytes, value: bytes) -> bytes:
    """One element in implicit VR."""
    return tag + len(value).to_bytes(4, "little") + value


LEVEL = element(b"\x08\0\x52\0", b"STUDY ")
OPENED = b"\x08\0\x15\x11\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"
"""A sequence and an item of it, both of undefined length."""


@pytest.fixture
def node(ward, listen):
    """A port that answers queries of PACS, with two patients' films behind it."""
    finder = Finder(ward.index, ward.descriptions(), lambda: NOW, "CARINA")
    listener = listen(finder, allowed_ae_titles=("PACS",))
    films = [film(), film(), film()]
    for ds, (patient, name, day) in zip(
        films,
        [
            ("P1", "Okafor^Ada", "20260101"),
            ("P1", "Okafor^Ada", "20260215"),
            ("P2", "Äbel^Ö", "20260220"),
        ],
        strict=True,
    ):
        ds.SpecificCharacterSet = "ISO_IR 192"
        ds.PatientID, ds.PatientName, ds.StudyDate = patient, name, day
        send(as_file(ds), f"CARINA@127.0.0.1:{listener.port}", "PACS")
    return listener, films, ward


def test_a_study_is_found_by_patient_name_with_wildcards_and_day(node):
    listener, films, _ = node
    keys = {"PatientName": "oka*", "StudyDate": "20260201-", "StudyInstanceUID": ""}
    status, found = ask(listener, identifier("STUDY", **keys))
    assert status == 0x0000
    assert [ds.StudyInstanceUID for ds in found] == [films[1].StudyInstanceUID]
    assert found[0].PatientName == "Okafor^Ada"
    assert found[0].StudyDate == "20260215"
    assert found[0].RetrieveAETitle == "CARINA"


def test_an_answer_holds_the_keys_asked_for_and_no_others(node):
    listener, _, _ = node
    _, found = ask(listener, identifier("STUDY", PatientID="P2", StudyID="", BodyPartExamined=""))
    held = {element.keyword for element in found[0]}
    assert held == {
        "SpecificCharacterSet", "QueryRetrieveLevel", "RetrieveAETitle",
        "PatientID", "StudyID", "BodyPartExamined",
    }  # fmt: skip


def test_a_name_in_its_own_letters_comes_back_as_it_was_sent(node):
    listener, _, _ = node
    _, found = ask(listener, identifier("STUDY", PatientID="P2", PatientName=""))
    assert str(found[0].PatientName) == "Äbel^Ö"


def test_series_and_images_are_found_below_their_study(node):
    listener, films, _ = node
    ds = films[0]
    above = {"StudyInstanceUID": ds.StudyInstanceUID}
    _, series = ask(listener, identifier("SERIES", **above, SeriesInstanceUID="", Modality=""))
    assert [one.SeriesInstanceUID for one in series] == [ds.SeriesInstanceUID]
    above["SeriesInstanceUID"] = ds.SeriesInstanceUID
    _, images = ask(listener, identifier("IMAGE", **above, SOPInstanceUID="", Rows=None))
    assert [one.SOPInstanceUID for one in images] == [ds.SOPInstanceUID]
    assert images[0].Rows == ds.Rows


def test_a_patient_with_several_studies_is_told_once(node):
    listener, _, _ = node
    question = identifier("PATIENT", PatientName="", PatientID="")
    status, found = ask(listener, question, PATIENT_ROOT)
    assert status == 0x0000
    assert sorted(ds.PatientID for ds in found) == ["P1", "P2"]


def test_more_studies_than_a_page_are_all_told(node, monkeypatch):
    monkeypatch.setattr(find, "PAGE", 1)
    listener, films, _ = node
    _, found = ask(listener, identifier("STUDY", StudyInstanceUID=""))
    assert {ds.StudyInstanceUID for ds in found} == {ds.StudyInstanceUID for ds in films}


def test_no_match_is_success_without_an_answer(node):
    status, found = ask(node[0], identifier("STUDY", PatientID="NOBODY"))
    assert (status, found) == (0x0000, [])


def test_a_key_by_which_nothing_is_matched_is_said_so(node):
    question = identifier("STUDY", PatientID="P1", StudyID="1")
    ae = AE(ae_title="PACS")
    ae.add_requested_context(STUDY_ROOT)
    assoc = ae.associate("127.0.0.1", node[0].port, ae_title="CARINA")
    statuses = [status.Status for status, _ in assoc.send_c_find(question, STUDY_ROOT)]
    assoc.release()
    assert statuses == [0xFF01, 0xFF01, 0x0000]


@pytest.mark.parametrize(
    "question",
    [
        identifier("PATIENT", PatientID="P1"),  # no level of the study root model
        identifier("SERIES", SeriesInstanceUID=""),
        identifier("IMAGE", StudyInstanceUID="1.2.3"),
        identifier("SERIES", StudyInstanceUID="1.2.3\\1.2.4"),
        identifier("STUDY", StudyDate="TODAY"),
    ],
)
def test_a_question_that_cannot_be_is_refused_with_words(node, question):
    assert ask(node[0], question) == (0xA900, [])


def test_a_question_that_cannot_be_meant_is_refused_before_it_is_read(node):
    study = b"\x20\0\x0d\0"
    hostile = [
        LEVEL + element(study, b"1.2.3\\" * 500_000),  # 3 MB
        LEVEL + element(study, b"1\\" * 50_000),
        OPENED * 20_000,
        OPENED * 99 + LEVEL,
        LEVEL + element(study, b"1.2.3")[:-3],
        b"\xff" * 1000,
    ]
    begun = time.process_time()
    *refused, answered = ask_in_bytes(node[0], *hostile, LEVEL + element(study, b""))
    assert set(refused) <= {0xA900, 0x0000}
    assert refused[:3] == [0xA900] * 3
    assert answered == 0x0000
    assert time.process_time() - begun < 5.0


def test_nothing_that_is_asked_for_or_told_gets_into_a_log(node, caplog):
    with caplog.at_level(logging.DEBUG):
        ask(node[0], identifier("STUDY", PatientName="OKAFOR*", StudyInstanceUID=""))
    assert "OKAFOR" not in caplog.text.upper()


def test_one_study_that_is_named_twice_is_told_once(node):
    listener, films, _ = node
    uid = films[0].StudyInstanceUID
    _, found = ask(listener, identifier("STUDY", StudyInstanceUID=f"{uid}\\{uid}\\1.2.3"))
    assert [ds.StudyInstanceUID for ds in found] == [uid]


def test_a_sequence_of_empty_keys_is_no_value_to_match_by():
    asked = identifier("STUDY", PatientID="P1")
    item = Dataset()
    item.ScheduledProcedureStepID = ""
    asked.RequestAttributesSequence = [item]
    assert find.read(asked, STUDY_ROOT).ignored == ("RequestAttributesSequence",)
    asked.RequestAttributesSequence = [Dataset()]
    assert find.read(asked, STUDY_ROOT).ignored == ()


def test_a_caller_that_is_not_on_the_list_gets_no_query(ward, listen):
    finder = Finder(ward.index, ward.descriptions(), lambda: NOW, "CARINA")
    listener = listen(finder)  # an empty list: anybody may send, nobody may ask
    ae = AE(ae_title="ANYBODY")
    ae.add_requested_context(STUDY_ROOT)
    assoc = ae.associate("127.0.0.1", listener.port, ae_title="CARINA")
    assert not assoc.is_established
    assert [str(one.abstract_syntax) for one in assoc.rejected_contexts] == [STUDY_ROOT]


def test_what_a_node_is_told_is_in_the_audit(node):
    listener, _, ward = node
    ask(listener, identifier("STUDY", PatientID="P1"))
    seen = [one for one in ward.index.audits(patient_id="P1") if one.action == "read"]
    assert {one.actor for one in seen} == {"PACS"}
    assert seen[0].detail == "C-FIND STUDY, as one of a list"


def test_dcmtk_finds_a_study(node, tmp_path):
    listener, films, _ = node
    findscu: str | None = shutil.which("findscu")
    if findscu is None:
        pytest.skip("left out: findscu is not installed (Debian: apt install dcmtk)")
    keys = ["QueryRetrieveLevel=STUDY", "PatientID=P1", "StudyInstanceUID"]
    chosen = [word for key in keys for word in ("-k", key)]
    caller = ["-S", "-aet", "PACS", "-aec", "CARINA", "-X", "-od", tmp_path]
    subprocess.run([findscu, *caller, *chosen, "127.0.0.1", str(listener.port)], check=True)
    found = {str(dcmread(file).StudyInstanceUID) for file in tmp_path.glob("rsp*.dcm")}
    assert found == {films[0].StudyInstanceUID, films[1].StudyInstanceUID}


@given(
    level=st.sampled_from([*LEVELS[PATIENT_ROOT], "", "WARD"]),
    keys=st.dictionaries(
        st.sampled_from(["PatientID", "StudyInstanceUID", "SeriesInstanceUID", "StudyTime"]),
        st.text(alphabet="0123456789.*?\\", max_size=20),
    ),
)
def test_reading_a_question_either_works_or_is_refused(level, keys):
    with contextlib.suppress(UsageError):
        question = find.read(identifier(level, **keys), PATIENT_ROOT)
        assert not set(question.matches) & set(question.ignored)
        assert set(question.wanted) == set(keys)


@given(
    data=st.lists(
        st.sampled_from([LEVEL, OPENED, b"\x08\0\x52\0", b"\xfe\xff\x0d\xe0\0\0\0\0"])
        | st.binary(max_size=40)
    ),
    syntax=st.sampled_from([ImplicitVRLittleEndian, ExplicitVRLittleEndian]),
)
def test_whatever_the_bytes_are_they_are_a_question_or_are_refused(data, syntax):
    with contextlib.suppress(UsageError):
        encoded = io.BytesIO(b"".join(data))
        asked = message.read(encoded, syntax, most_bytes=1000, most_items=100)
        find.read(asked, STUDY_ROOT)
