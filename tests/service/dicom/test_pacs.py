"""Of a PACS's answers only earlier chest films of the same patient are used, newest first."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.dicom.pacs import (
    OfferedSeries,
    OfferedStudy,
    Question,
    check_key,
    earlier_films,
    is_same_patient,
    may_be_chest,
)
from service.errors import UsageError

TODAY = date(2026, 3, 1)
QUESTION = Question("P1", "", "1.1", TODAY, 365)
OFFERED = st.builds(
    OfferedStudy,
    study_uid=st.sampled_from(["1.1", "1.2", "1.3", "1.4"]),
    patient_id=st.sampled_from(["P1", "P2", ""]),
    issuer=st.sampled_from(["", "WARD"]),
    taken_on=st.none() | st.dates(date(2024, 1, 1), date(2027, 1, 1)),
    modalities=st.sampled_from([(), ("CR",), ("DX", "SR"), ("CT",)]),
)


@given(st.lists(OFFERED))
def test_what_is_chosen_is_of_the_patient_earlier_and_newest_first(offered):
    chosen = earlier_films(offered, QUESTION)
    assert len({one.study_uid for one in chosen}) == len(chosen)
    days = [one.taken_on or date.min for one in chosen]
    assert days == sorted(days, reverse=True)
    for one in chosen:
        assert one.patient_id == "P1"
        assert one.study_uid != QUESTION.study_uid
        assert one.taken_on is None or TODAY - timedelta(days=365) <= one.taken_on < TODAY
        assert one.modalities != ("CT",)


def test_the_same_identifier_of_another_issuer_is_another_patient():
    here = replace(QUESTION, issuer="NORTH")
    offered = OfferedStudy("1.2", "P1")
    assert is_same_patient(offered, here)  # not every PACS tells
    assert is_same_patient(replace(offered, issuer="NORTH"), here)
    assert not is_same_patient(replace(offered, issuer="SOUTH"), here)
    assert is_same_patient(replace(offered, issuer="SOUTH"), QUESTION)


@pytest.mark.parametrize(
    ("modality", "body_part", "wanted"),
    [("CR", "CHEST", True), ("DX", "", True), ("CR", "HAND", False), ("SR", "CHEST", False)],
)
def test_radiographs_that_name_no_other_body_part_are_retrieved(modality, body_part, wanted):
    assert may_be_chest(OfferedSeries("1.2.3", modality, body_part)) is wanted


@pytest.mark.parametrize("patient_id", ["", "*", "P?", "P1\\P2", "P\n1", "P" * 65])
def test_an_identifier_that_would_match_others_is_not_asked_for(patient_id):
    with pytest.raises(UsageError, match="Patient ID"):
        check_key(patient_id)


def test_the_first_day_asked_for_exists_on_the_calendar():
    assert QUESTION.range == "20250301-20260228"
    assert replace(QUESTION, taken_on=date(1, 1, 5), days=36500).range == "00010101-00010104"
    assert replace(QUESTION, taken_on=date.min).range == "00010101-00010101"
