"""The conformance statement says what the code does: no more, no less."""

from __future__ import annotations

import re
from pathlib import Path

from service.dicom import codes, find, header, listener, pacs, pacs_dimse, pacs_web
from service.dicom.sop_classes import STORAGE_CLASSES, TRANSFER_SYNTAXES, is_storable
from service.records import SCORED_CLASSES

STATEMENT = (Path(__file__).parents[3] / "docs" / "dicom-conformance.md").read_text("utf-8")


def section(start: str, end: str) -> str:
    return STATEMENT[STATEMENT.index(start) : STATEMENT.index(end)]


def uids(text: str) -> list[str]:
    """UIDs of the last column of its tables."""
    return re.findall(r"^\|.*\| ([\d.]+) \|$", text, re.MULTILINE)


def test_it_lists_exactly_the_storage_classes_that_are_accepted():
    scored = uids(section("Classes that may hold", "Classes that are kept"))
    kept = uids(section("Classes that are kept", "### 5.3"))
    assert sorted(scored + kept) == sorted(STORAGE_CLASSES)
    assert set(scored) == SCORED_CLASSES


def test_it_lists_exactly_the_transfer_syntaxes_that_are_accepted():
    listed = uids(section("### 5.3", "### 5.4"))
    assert sorted(listed) == sorted(TRANSFER_SYNTAXES)
    assert all(is_storable(STORAGE_CLASSES[0], uid) for uid in listed)
    assert not is_storable(STORAGE_CLASSES[0], "1.2.840.10008.1.2.4.94")
    assert not is_storable("1.2.840.10008.1.1", listed[0])


def test_it_lists_exactly_the_queries_that_are_answered():
    listed = re.findall(
        r"^\| .* - FIND \| ([\d.]+) \| (.+) \|$",
        section("### 5.5", "### 5.6"),
        re.MULTILINE,
    )
    assert {uid: tuple(levels.split(", ")) for uid, levels in listed} == dict(find.LEVELS)


def test_it_lists_exactly_what_a_pacs_is_asked_with():
    asked = section("### 5.8", "## 6")
    listed = re.findall(r"^\| (.* - (?:FIND|MOVE)) \| ([\d.]+) \|", asked, re.MULTILINE)
    assert [(name, uid) for name, uid in listed] == [
        (model.name.replace(" Information Model", ""), str(model))
        for model in (pacs_dimse.FIND, pacs_dimse.MOVE)
    ]
    syntaxes = re.findall(r"^\| (?:Explicit|Implicit) .* \| ([\d.]+) \|$", asked, re.MULTILINE)
    assert tuple(syntaxes) == pacs_dimse.TRANSFER_SYNTAXES
    assert pacs_web.FILM_TYPE in asked
    for number in (pacs.MOST_ANSWERS, pacs.MOST_FILMS, f"{pacs_dimse.LIMIT_S:.0f} s"):
        assert str(number) in asked


def test_its_numbers_and_names_are_those_of_the_code():
    assert str(listener.MAX_PDU_BYTES) in STATEMENT
    assert header.IMPLEMENTATION_CLASS_UID in STATEMENT
    assert header.IMPLEMENTATION_VERSION in STATEMENT
    for timeout_s in (listener.ACSE_TIMEOUT_S, listener.DIMSE_TIMEOUT_S):
        assert f"{timeout_s:.0f} s" in STATEMENT
    own = [
        code
        for code in vars(codes).values()
        if getattr(code, "scheme_designator", "") == "99CARINA"
    ]
    assert all(code.value in STATEMENT for code in own)


def test_it_keeps_the_order_of_the_standard():
    headings = re.findall(r"^## (\d) (.+)$", STATEMENT, re.MULTILINE)
    assert [int(number) for number, _ in headings] == list(range(1, 9))
    assert headings[0][1] == "Conformance statement overview"
    assert headings[-1][1] == "Annexes"
