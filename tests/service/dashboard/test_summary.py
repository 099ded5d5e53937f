"""A patient's summary on paper says what the page says, and nothing that the page does not."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from fastapi import FastAPI
from pypdf import PdfReader

from service.context import Services
from service.dashboard import views
from service.records import RESEARCH_USE, Patient
from tests.service.dashboard import ward
from tests.service.dashboard.conftest import Visit, bare


@pytest.fixture(scope="module")
def own(memory: Path, filled: Path) -> Iterator[tuple[Visit, Services]]:
    """A ward whose names may be changed, and somebody who looks at it."""
    made = ward.services(shutil.copytree(filled, memory / "names"))
    app = FastAPI()
    app.include_router(views.router(made, bare()))
    yield Visit(app, "clinician"), made
    made.index.close()


def pages(visit: Visit, patient_id: str) -> list[str]:
    answer = visit.client.get(f"/patients/{patient_id}/summary.pdf")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["cache-control"] == "no-store"
    found = PdfReader(BytesIO(answer.content)).pages
    return [" ".join(one.extract_text().split()) for one in found]


def test_the_paper_has_the_numbers_of_the_page_each_with_its_interval(clinician: Visit) -> None:
    page = clinician.page("/patients/P-1001")
    said = " ".join(pages(clinician, "P-1001"))
    figure = page.select_one(".tile .figure")
    assert figure is not None
    assert f"{figure.get_text()} % (90 % interval" in said
    for one in page.select(".waterfall tbody tr"):
        cells = [cell.get_text(" ", strip=True) for cell in one.select("td")]
        assert cells[-1] in said
    assert "model ventilation-" in said
    assert "Newest film" in said
    assert "of 8 (90 % interval" in said


def test_each_sheet_says_who_it_is_when_it_was_made_and_that_it_is_for_research(
    clinician: Visit,
) -> None:
    for sheet in pages(clinician, "P-1001"):
        assert RESEARCH_USE in sheet
        assert "P-1001" in sheet
        assert "for clinician" in sheet


def test_a_refused_film_has_no_score_on_paper(clinician: Visit) -> None:
    said = " ".join(pages(clinician, "P-1006"))
    assert "No score. This is not a frontal view." in said
    assert "Extent of opacity" not in said


def test_every_patient_of_the_ward_has_a_summary(clinician: Visit) -> None:
    rows = clinician.page("/").select("[data-row]")
    assert rows
    for row in rows[:12]:
        assert pages(clinician, str(row["data-row"]))


def test_a_look_at_the_paper_is_audited(clinician: Visit, services: Services) -> None:
    pages(clinician, "P-1003")
    newest = services.index.audits(patient_id="P-1003", limit=1)[0]
    assert (newest.action, newest.detail) == ("read", "patient summary")


def test_researchers_and_unknown_patients_get_no_paper(clinician: Visit, researcher: Visit) -> None:
    assert researcher.client.get("/patients/P-1001/summary.pdf").status_code == 403
    assert clinician.client.get("/patients/nobody/summary.pdf").status_code == 404


def test_an_amended_film_says_on_paper_why_it_was_amended(clinician: Visit) -> None:
    said = " ".join(pages(clinician, "P-1002"))
    assert re.search(r"Amended [\d:]+ CET by severity-", said)
    assert "Extent 3.9 of 8 (3.0–4.8), now extent 4.9 of 8" in said


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ŻÓŁĆ^ŁUKASZ", "Żółć, Łukasz"),
        ("Nguyễn^Thị Hạnh", "Nguyễn, Thị Hạnh"),
        ("Παπαδόπουλος^Γιώργος", "Παπαδόπουλος, Γιώργος"),
        ("Иванов^Пётр", "Иванов, Пётр"),
        ("=王^小东", "王, 小东"),
        ("Kim^Minjun=金^民俊=김^민준", "Kim, Minjun"),
    ],
)
def test_a_name_stands_on_paper_with_its_own_letters(
    own: tuple[Visit, Services], name: str, shown: str
) -> None:
    visit, services = own
    services.index.put_patient(Patient("P-1010", name), ward.audit("write"))
    for sheet in pages(visit, "P-1010"):
        assert f"{shown} · P-1010" in sheet
