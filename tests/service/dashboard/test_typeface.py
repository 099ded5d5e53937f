"""What a PDF can draw is drawn in one face; what it cannot is never drawn as something else."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.dashboard.typeface import BOLD, LOWERED, PLAIN, WIDE, Fitted, fitted


@pytest.mark.parametrize(
    ("text", "face"),
    [
        ("Müller, Ñ <b>", PLAIN),
        ("Żółć, Łukasz", WIDE),
        ("Nguyễn Thị Hạnh, ơưđ", WIDE),
        ("Παπαδόπουλος", WIDE),
        ("Їжак Иванов", WIDE),
        ("王 小东 龍 さくらカナ 김민준 Kim", WIDE),
    ],
)
def test_a_text_is_set_whole_in_the_first_face_that_holds_it(text: str, face: str) -> None:
    assert fitted(text) == Fitted(text, face)
    assert fitted(text, BOLD).face == (BOLD if face == PLAIN else WIDE)


def test_letters_without_a_face_stand_as_their_code_points() -> None:
    assert fitted("Ali (محمد)").text == "Ali ([U+0645 U+062D U+0645 U+062F])"
    assert fitted("สม ชาย").text == "[U+0E2A U+0E21] [U+0E0A U+0E32 U+0E22]"


def test_a_lowered_digit_stands_on_the_line() -> None:
    assert fitted("SpO₂ 88 %") == Fitted("SpO2 88 %", PLAIN)


def test_letters_and_their_marks_are_joined_before_they_are_looked_up() -> None:
    assert fitted(unicodedata.normalize("NFD", "Müller")) == Fitted("Müller", PLAIN)


@given(st.text(max_size=30))
def test_nothing_is_lost_and_what_is_set_can_be_set_again(text: str) -> None:
    once = fitted(text)
    assert fitted(once.text, once.face) == once
    composed = unicodedata.normalize("NFC", text).translate(LOWERED)
    for one in composed:
        assert one in once.text or f"U+{ord(one):04X}" in once.text
