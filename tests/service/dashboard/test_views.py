"""The pages as HTML: what stands on them, who may see them, and what never does."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import numpy as np
import pytest
from bs4 import BeautifulSoup, Tag
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from models import phantom
from service.context import Services
from service.dashboard import lists, views
from service.dashboard.moments import Zone
from service.dashboard.pages import segment
from service.records import RESEARCH_USE, AuditEvent, Instance, Patient, Study
from tests.conftest import ROOT
from tests.service.dashboard import ward
from tests.service.dashboard.conftest import Visit, bare

STUDY = "/studies/1.2.826.0.1.{}.{}"
GSPS = "1.2.840.10008.5.1.4.1.1.11.1"


def row(page: BeautifulSoup, patient_id: str) -> Tag:
    found = page.select_one(f'[data-row="{patient_id}"]')
    assert found is not None
    return found


def text(tag: Tag | BeautifulSoup) -> str:
    return " ".join(tag.get_text(" ").split())


def order(page: BeautifulSoup) -> list[str]:
    return [str(one["data-row"]) for one in page.select("[data-row]")]


class TestWorklist:
    def test_ranks_by_ventilation_risk_and_puts_patients_without_a_number_last(
        self, clinician: Visit
    ) -> None:
        names = order(clinician.page("/"))
        known = [one for one in ward.WARD if one.risk > 0]
        assert names[: len(known)] == [o.patient_id for o in sorted(known, key=lambda o: -o.risk)]
        assert names[-1] == "P/12 odd"

    def test_shows_risk_interval_reasons_film_and_vitals_of_a_patient(
        self, clinician: Visit
    ) -> None:
        said = text(row(clinician.page("/"), "P-1001"))
        for part in (
            "Okafor, Adaeze",
            "31 %",
            "21–44 %",
            "High",
            "+9.0 points in 1 h",
            "Respiratory rate",
            "34 /min",
            "5.8 /8",
            "worse +1.7",
            "Worsening",
            "RR",
        ):
            assert part in said, part

    def test_greys_a_stale_number_and_says_which_input_is_old(self, clinician: Visit) -> None:
        found = row(clinician.page("/"), "P-1004")
        risk = found.select_one("td.w-risk")
        assert risk is not None
        assert "stale" in risk["class"]
        assert "Respiratory rate 6 h old" in text(risk)
        assert risk.select_one(".chip") is None

    def test_shows_no_score_for_a_refused_film(self, clinician: Visit) -> None:
        film = row(clinician.page("/"), "P-1006").select_one("td.w-film")
        assert film is not None
        assert "No score" in text(film)
        assert "not a frontal view" in text(film)
        assert "/8" not in text(film)

    def test_shows_no_risk_for_a_ventilated_patient(self, clinician: Visit) -> None:
        found = row(clinician.page("/"), "P-1005")
        assert "Ventilated since 05:30 CET" in text(found)
        assert not found.select(".risk-figure, .spark")

    def test_never_writes_a_percentage_of_risk_without_its_interval(self, clinician: Visit) -> None:
        for figure in clinician.page("/").select(".risk-figure"):
            assert re.search(r"[\d.<]+–[\d.>]+ %", text(figure)), text(figure)

    def test_filters_by_ward_band_and_search_and_sorts_by_column(self, clinician: Visit) -> None:
        assert set(order(clinician.page("/?ward=Ward+5"))) == {
            "P-1007",
            "P-1008",
            "P-1009",
            "P-1011",
        }
        assert "P-1009" not in order(clinician.page("/?band=high"))
        assert order(clinician.page("/?search=okafor")) == ["P-1001"]
        by_name = clinician.page("/?sort=name")
        names = [text(a) for a in by_name.select("a.name")]
        assert names.index("Haddad, Leila") < names.index("Lindqvist, Per")
        assert by_name.select_one('th[aria-sort="ascending"]') is not None

    def test_outpatients_have_a_list_and_a_risk_of_their_own(self, clinician: Visit) -> None:
        page = clinician.page("/?who=outpatients")
        assert order(page) == ["P-2001"]
        said = text(row(page, "P-2001"))
        assert "Intensive care, ventilation or death" in said
        assert "Outpatient" in said
        assert "P-2001" not in order(clinician.page("/"))
        assert page.select_one("select[name=band]") is None
        patient = clinician.page("/patients/P-2001")
        assert "inputs not known: typical values" in text(patient)
        total = patient.select_one(".waterfall tfoot tr")
        assert total is not None
        assert patient.select(".waterfall tbody tr")

    @pytest.mark.parametrize("column", list(lists.SORTS))
    def test_every_column_sorts_and_says_so(self, clinician: Visit, column: str) -> None:
        page = clinician.page(f"/?sort={column}")
        turned = [order(clinician.page(f"/?sort={column}&order={way}")) for way in ("up", "down")]
        assert set(turned[0]) == set(turned[1]) == set(order(page))
        assert page.select_one("th[aria-sort]") is not None
        chosen = page.select_one("select[name=sort] option[selected]")
        assert chosen is not None
        assert chosen["value"] == column

    def test_says_so_when_nobody_matches(self, clinician: Visit) -> None:
        assert "No patient matches" in text(clinician.page("/?search=nobody-of-this-name"))
        assert "No admitted patient matches" in text(clinician.page("/?ward=none"))

    @pytest.mark.parametrize("query", ["sort=nonsense", "band=nonsense", "page=9000"])
    def test_reads_an_odd_address_leniently(self, clinician: Visit, query: str) -> None:
        clinician.page(f"/?{query}")


class TestPatient:
    def test_contributions_lead_from_the_baseline_to_the_total(self, clinician: Visit) -> None:
        page = clinician.page("/patients/P-1001")
        lines = page.select(".waterfall tbody tr, .waterfall tfoot tr")
        sums = [float(text(line.select("td")[-1]).replace("−", "-")) for line in lines]
        assert sum(sums[:-1]) == pytest.approx(sums[-1], abs=0.05)
        assert "Baseline" in text(lines[0])
        assert "31 %" in text(lines[-1])

    def test_labels_terms_that_were_fitted_apart(self, clinician: Visit) -> None:
        apart = clinician.page("/patients/P-1001").select(".waterfall .apart")
        assert any("Fitted apart" in text(one) for one in apart)

    def test_shows_the_contributions_of_an_earlier_hour_under_its_own_address(
        self, clinician: Visit
    ) -> None:
        newest = clinician.page("/patients/P-1001")
        link = newest.select_one('a[rel="prev"]')
        assert link is not None
        earlier = clinician.page(str(link["href"]))
        assert earlier.select_one('a[rel="next"]') is not None
        assert "Why 22 %" in text(earlier)

    def test_an_hour_of_another_patient_is_not_found(self, clinician: Visit) -> None:
        clinician.page("/patients/P-1001?at=no-such-hour", 404)

    def test_companions_stand_beside_the_model_or_say_what_is_missing(
        self, clinician: Visit
    ) -> None:
        found = clinician.page("/patients/P-1001").select_one(".companions")
        assert found is not None
        assert "ROX 4.00 higher risk" in text(found)
        missing = clinician.page("/patients/P-1001").select_one("details.flat")
        assert missing is not None
        assert "NEWS2 Consciousness" in text(missing)

    def test_a_table_with_units_stands_behind_every_chart(self, clinician: Visit) -> None:
        page = clinician.page("/patients/P-1001")
        panels = page.select("[data-panel]")
        tables = page.select("[data-part=tables] table")
        assert len(panels) == len(tables) >= 6
        assert "Value, %" in text(tables[0])

    def test_old_inputs_grey_the_number_and_are_named(self, clinician: Visit) -> None:
        page = clinician.page("/patients/P-1004")
        assert "rests on old or missing inputs: Respiratory rate 6 h old" in text(page)
        assert page.select_one(".tile.stale .figure") is not None

    def test_a_refused_film_has_no_score_anywhere_but_what_to_do(self, clinician: Visit) -> None:
        page = clinician.page("/patients/P-1006")
        tile = page.select(".tile")[1]
        assert "No score." in text(tile)
        assert "Send the frontal" in text(tile)
        assert "/8" not in text(tile)

    def test_an_amended_film_says_when_and_why_it_was_amended(self, clinician: Visit) -> None:
        page = clinician.page("/patients/P-1002")
        tile, films = text(page.select(".tile")[1]), text(page.select(".films")[0])
        assert re.search(r"Amended [\d:]+ CET by severity-", tile)
        assert "Extent 3.9 of 8 (3.0–4.8), now extent 4.9 of 8" in tile
        assert re.search(r"Amended [\d:]+ CET: ", films)

    def test_an_identifier_with_a_slash_and_a_blank_has_a_page(self, clinician: Visit) -> None:
        page = clinician.page(f"/patients/{segment('P/12 odd')}")
        assert "no vital signs have arrived" in text(page)
        assert "No film has arrived" in text(page)

    def test_an_unknown_patient_is_a_page_that_says_so(self, clinician: Visit) -> None:
        assert "Not found" in text(clinician.page("/patients/nobody", 404))


class TestStudy:
    def test_shows_score_interval_zones_then_and_now_and_measures(self, clinician: Visit) -> None:
        said = text(clinician.page(STUDY.format(1001, 1)))
        for part in (
            "5.8 /8",
            "4.9–6.7",
            "Right lower 3.0 /3 prior 2.5",
            "worse +1.7",
            "probability that it is real 0.99",
            "Cardiothoracic ratio 0.52",
            "Carina angle not measurable",
            "Stomach not visible",
        ):
            assert part in said, part

    def test_a_study_without_a_film_is_not_said_to_wait_for_the_models(
        self, clinician: Visit, services: Services
    ) -> None:
        note = Instance("1.9.1", GSPS, "1.9.2", "1.9", "1.2.840.10008.1.2", "k9", "9" * 64, 1,
                        ward.NOW, "c-store:MOD", "PR")  # fmt: skip
        study = Study("1.9", "P-9", None, ward.NOW)
        services.index.add_instance(note, study, Patient("P-9"), ward.audit())
        said = text(clinician.page("/studies/1.9"))
        assert "Nothing to score" in said
        assert "waits for the models" not in said

    def test_names_aligned_pictures_only_after_the_gate(self, clinician: Visit) -> None:
        def told(number: int) -> dict[str, object]:
            data = clinician.page(STUDY.format(number, 1)).select_one("script#study")
            assert data is not None
            return dict(json.loads(data.get_text()))

        assert told(1001)["aligned"]
        assert told(1001)["difference_url"]
        refused = told(1007)
        assert refused["aligned"] is None
        assert refused["difference_url"] is None
        assert refused["prior"]
        page = clinician.page(STUDY.format(1007, 1))
        assert "Not shown over each other: the lungs overlap too little" in text(page)
        assert page.select_one('[data-mode="swipe"][disabled]') is not None

    def test_a_refused_film_has_no_score_no_heat_map_and_a_reason(self, clinician: Visit) -> None:
        page = clinician.page(STUDY.format(1006, 1))
        said = text(page)
        assert "No score. This is not a frontal view." in said
        assert "Send the frontal (PA or AP) film" in said
        assert "/8" not in said
        assert not page.select("[data-heat], .zones")

    def test_an_amended_result_says_what_it_replaced_when_and_why(self, clinician: Visit) -> None:
        said = text(clinician.page(STUDY.format(1002, 1)))
        assert "Amended 07:22 CET by severity-" in said
        assert "Extent 3.9 of 8 (3.0–4.8), now extent 4.9 of 8 (4.0–5.8)." in said

    def test_the_film_can_be_seen_without_scripts(self, clinician: Visit) -> None:
        image = clinician.page(STUDY.format(1001, 1)).select_one("img.still")
        assert image is not None
        answer = clinician.client.get(str(image["src"]))
        assert answer.headers["content-type"] == "image/png"

    def test_the_film_keeps_its_sixteen_bits(self, clinician: Visit) -> None:
        answer = clinician.client.get(STUDY.format(1001, 1) + "/artifacts/film")
        shape = int(answer.headers["x-height"]), int(answer.headers["x-width"])
        pixels = np.frombuffer(answer.content, "<u2").reshape(shape)
        truth = np.round(phantom.draw(5, extent=4.5, size=shape[0]).pixels * 65535)
        np.testing.assert_array_equal(pixels, truth.astype(np.uint16))
        assert np.unique(pixels).size > 5000
        assert answer.headers["content-encoding"] == "gzip"

    @pytest.mark.parametrize(
        ("number", "name"),
        [
            (1007, "aligned_prior"),
            (1007, "difference"),
            (1006, "heat"),
            (1001, "structures"),
            (1001, "../film"),
            (1001, "nothing"),
        ],
    )
    def test_pictures_that_must_not_be_shown_are_not_served(
        self, clinician: Visit, number: int, name: str
    ) -> None:
        path = f"{STUDY.format(number, 1)}/artifacts/{segment(name)}"
        assert clinician.client.get(path).status_code == 404


class TestDoor:
    def test_sends_everybody_to_the_login_and_back_again(self, app: FastAPI) -> None:
        stranger = TestClient(app, base_url="http://ward", follow_redirects=False)
        answer = stranger.get("/patients/P-1001?span=14")
        assert answer.headers["location"] == "/login?next=%2Fpatients%2FP-1001%3Fspan%3D14"
        assert stranger.get(STUDY.format(1001, 1) + "/artifacts/film").status_code == 401

    @pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil", ""])
    def test_leads_to_no_other_server(self, app: FastAPI, target: str) -> None:
        client = TestClient(app, base_url="http://ward", follow_redirects=False)
        answer = client.post(
            "/login",
            data={"username": "clinician", "password": ward.PASSWORD, "next": target},
            headers={"origin": "http://ward"},
        )
        assert answer.headers["location"] == "/"

    def test_a_wrong_password_says_so_and_keeps_the_name(self, app: FastAPI) -> None:
        client = TestClient(app, base_url="http://ward")
        answer = client.post(
            "/login",
            data={"username": "radiologist", "password": "wrong"},
            headers={"origin": "http://ward"},
        )
        assert answer.status_code == 401
        page = BeautifulSoup(answer.text, "html.parser")
        assert "wrong" in text(page)
        assert page.select_one('input[name=username][value="radiologist"]') is not None

    def test_takes_no_login_from_another_site(self, app: FastAPI) -> None:
        client = TestClient(app, base_url="http://ward")
        answer = client.post(
            "/login",
            data={"username": "clinician", "password": ward.PASSWORD},
            headers={"origin": "http://evil.example"},
        )
        assert answer.status_code == 403

    def test_logging_out_ends_the_session(self, app: FastAPI) -> None:
        visit = Visit(app, "radiologist")
        visit.page("/")
        answer = visit.client.post("/logout", headers={"origin": "http://ward"})
        assert answer.headers["location"] == "/login"
        visit.page("/", 303)

    def test_keeps_a_theme_without_any_script(self, app: FastAPI) -> None:
        visit = Visit(app, "clinician")
        visit.client.post(
            "/theme", data={"theme": "dark", "back": "/models"}, headers={"origin": "http://ward"}
        )
        html = visit.page("/").find("html")
        assert isinstance(html, Tag)
        assert html["data-theme"] == "dark"


class TestRoles:
    def test_a_researcher_sees_models_and_no_patient(self, researcher: Visit) -> None:
        assert researcher.client.get("/").headers["location"] == "/models"
        researcher.page("/models")
        for path in ("/patients/P-1001", STUDY.format(1001, 1), "/audit"):
            assert "P-1001" not in text(researcher.page(path, 403)), path
        assert researcher.client.get(STUDY.format(1001, 1) + "/artifacts/film").status_code == 403

    def test_only_an_administrator_sees_the_audit(self, clinician: Visit, admin: Visit) -> None:
        clinician.page("/audit", 403)
        assert "Audit" in text(admin.page("/audit"))

    def test_every_look_at_a_patient_is_in_the_audit(
        self, admin: Visit, app: FastAPI, services: Services
    ) -> None:
        visit = Visit(app, "radiologist")
        visit.page("/")
        visit.page("/patients/P-1009")
        visit.page(STUDY.format(1009, 0))
        found = services.index.audits(actor="radiologist", limit=4)
        assert [one.detail for one in found][:3] == ["study page", "patient page", "worklist: 12"]
        assert found[1].patient_id == "P-1009"
        assert "patient page" in text(admin.page("/audit?patient=P-1009"))

    def test_the_audit_is_searched_by_action_study_and_day(
        self, admin: Visit, services: Services
    ) -> None:
        midnight = datetime(2020, 3, 2, tzinfo=Zone.named(services.settings.time_zone).rules)
        event = AuditEvent(midnight, "ada", "export", "success", study_uid="9.8.7", detail="odd")
        services.index.add_audit(event)
        for query in ("study=9.8.7", "action=export&first=2020-03-02&last=2020-03-02"):
            assert "odd" in text(admin.page(f"/audit?{query}")), query
        for query in ("study=9.8", "study=9.8.7&last=2020-03-01", "study=9.8.7&first=2020-03-03"):
            assert "Nothing matches" in text(admin.page(f"/audit?{query}")), query

    def test_a_day_that_cannot_be_read_is_named_and_nothing_is_shown(self, admin: Visit) -> None:
        for day in ("yesterday", "0001-01-01", "9999-12-31", "<b>"):
            page = admin.page(f"/audit?last={day}")
            assert f"found “{day}”" in text(page)
            assert not page.select("tbody tr")

    def test_further_pages_of_the_audit_keep_the_search(
        self, admin: Visit, services: Services
    ) -> None:
        at = datetime(2020, 1, 1, tzinfo=UTC)
        events = [AuditEvent(at, "b&c", "export", "success", detail=f"row {n}") for n in range(101)]
        services.index.add_audits(events)
        older = admin.page("/audit?actor=b%26c").select_one("a[rel=next]")
        assert older is not None
        rows = admin.page(str(older["href"])).select("tbody tr")
        assert [text(one.select("td")[5]) for one in rows] == ["row 0"]

    def test_a_page_that_renews_itself_is_one_viewing(
        self, app: FastAPI, services: Services
    ) -> None:
        visit = Visit(app, "radiologist")
        visit.page("/patients/P-1008")
        before = len(services.index.audits(actor="radiologist", limit=1000))
        visit.client.get("/patients/P-1008", headers={"x-carina-refresh": "1"})
        assert len(services.index.audits(actor="radiologist", limit=1000)) == before
        visit.client.get("/patients/P-1007", headers={"x-carina-refresh": "1"})
        assert len(services.index.audits(actor="radiologist", limit=1000)) == before + 1


PAGES = [
    "/",
    "/patients/P-1001",
    STUDY.format(1001, 1),
    "/models",
    "/audit",
    "/operations",
    "/operations/users",
    "/login",
]


@pytest.mark.parametrize("path", PAGES)
def test_every_page_carries_the_notice_and_runs_nothing_inline(admin: Visit, path: str) -> None:
    answer = admin.client.get(path)
    page = BeautifulSoup(answer.text, "html.parser")
    assert RESEARCH_USE in text(page)
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    for script in page.find_all("script"):
        assert (
            str(script.get("src", "")).startswith("/static/")
            or script["type"] == "application/json"
        )
    assert not page.select("[style], style, [onclick]")
    assert len(page.select("h1")) == 1
    for control in page.select("input:not([type=hidden]), select"):
        assert control.get("aria-label") or control.find_parent("label"), control


@pytest.mark.parametrize("path", ["/", "/patients/P-1001", "/patients/P-1004"])
def test_no_number_of_a_table_stands_without_its_column_name(admin: Visit, path: str) -> None:
    for table in admin.page(path).select("table"):
        assert table.select("thead th"), table


def test_a_name_is_text_and_never_markup(clinician: Visit, services: Services) -> None:
    from service.records import Patient

    bad = Patient("P-bad", "<script>alert(1)</script>^<b>x</b>", ward="Ward 9")
    services.index.put_patient(bad, ward.audit("write"))
    answer = clinician.client.get("/patients/P-bad")
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;" in answer.text.lower()


def test_every_address_of_the_pages_is_in_the_clinicians_guide(services: Services) -> None:
    guide = (ROOT / "docs" / "clinician.md").read_text(encoding="utf-8")
    pages = FastAPI(openapi_url=None)
    pages.include_router(views.router(services, bare()))
    paths = {
        str(context.path).replace(":path}", "}")
        for context in iter_route_contexts(pages.routes)
        if getattr(context, "path", None)
    }
    assert len(paths) >= 10
    for path in paths:
        assert f"`{path}`" in guide, path
