"""The pages of administrators: what they say, and that their forms do what they say."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from bs4 import BeautifulSoup, Tag
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from service.context import Services
from service.dashboard import operations, views
from service.dashboard.moments import Zone
from service.errors import OutOfResourcesError
from service.installation import Crew, Hour
from service.records import Role
from tests.service.dashboard import installation, ward
from tests.service.dashboard.conftest import Visit, bare

OPERATIONS, USERS, RETRIES = "/operations", "/operations/users", "/operations/retries"
FROM_HERE = {"origin": "http://ward"}


def text(tag: Tag | BeautifulSoup | None) -> str:
    assert tag is not None
    return " ".join(tag.get_text(" ").split())


def row(page: BeautifulSoup, section: str, words: str) -> str:
    found = [text(one) for one in page.select(f"#{section} tbody tr") if words in text(one)]
    assert found, (section, words)
    return found[0]


@pytest.fixture
def own(memory: Path, filled: Path, tmp_path: Path) -> Iterator[Services]:
    """Services that a test may change."""
    folder = memory / tmp_path.name
    made = ward.services(shutil.copytree(filled, folder))
    yield made
    made.index.close()
    shutil.rmtree(folder)


@pytest.fixture
def visit(own: Services) -> Visit:
    app = FastAPI()
    app.include_router(views.router(own, bare()))
    return Visit(app, "admin")


def post(visit: Visit, path: str, **fields: str) -> tuple[int, str]:
    answer = visit.client.post(path, data=fields, headers=FROM_HERE)
    return answer.status_code, answer.headers.get("location", answer.text)


class TestOverview:
    def test_says_first_what_needs_somebody_and_where_it_is(self, admin: Visit) -> None:
        page = admin.page(OPERATIONS)
        needs = {text(one): str(one["href"]) for one in page.select(".needs a")}
        assert (
            needs["2 studies could not be judged: look why, then try again or dismiss."]
            == "#failures"
        )
        assert any("PACS@10.0.0.7:104" in one for one in needs)
        for where in needs.values():
            assert page.select_one(where) is not None

    def test_each_failure_has_its_reason_in_words_and_a_button(self, admin: Visit) -> None:
        page = admin.page(OPERATIONS)
        study = row(page, "failures", "Study ")
        for part in ("P-2001", "log line “study failed”", "05:30 CET", "5 h ago", "given up"):
            assert part in study
        assert "tried by itself Try now" in row(page, "failures", "08:00 CET")
        assert "Storage commitment to MODALITY" in row(page, "failures", "No answer.")
        sent = [str(one["value"]) for one in page.select("#failures input[name=kind]")]
        assert sorted(set(sent)) == ["commitment", "delivery", "study"]

    def test_each_destination_says_how_it_goes(self, admin: Visit) -> None:
        page = admin.page(OPERATIONS)
        assert "none yet 2 1 since 05:30 CET" in row(page, "destinations", installation.PACS)
        assert "09:00 CET 0 0 no" in row(page, "destinations", installation.ARCHIVE)
        assert "not in CARINA_DESTINATIONS" in row(page, "destinations", installation.OLD)

    def test_the_hours_stand_in_a_table_behind_the_bars(self, admin: Visit) -> None:
        page = admin.page(f"{OPERATIONS}?hours=48")
        hours = page.select("#inflow tbody tr")
        assert len(hours) == 48
        total = [int(text(one)) for one in page.select("#inflow tfoot td")]
        sums = [sum(int(text(one.select("td")[n])) for one in hours) for n in range(6)]
        assert total == sums
        assert total[2] == 1
        said = [str(one["aria-label"]) for one in page.select("#inflow svg[role=img]")]
        assert said[0].startswith(f"{total[0]} films in 48 hours")

    def test_workers_queues_models_and_changes_are_there(self, admin: Visit) -> None:
        page = admin.page(OPERATIONS)
        assert "judges a study, <1 min sends what is due, 2 min" in row(page, "workers", "node-0")
        assert "gone" in row(page, "workers", "node-2")
        assert row(page, "workers", "Studies to judge").endswith("1 1 4 min")
        assert page.select_one('#models a[href="/models#severity"]') is not None
        assert admin.page("/models").select_one("#severity") is not None
        assert "sent by mistake" in row(page, "changes", "P-2002")

    def test_an_empty_installation_says_so_in_words(self, tmp_path: Path) -> None:
        from service.auth import new_user

        empty = ward.services(tmp_path)
        empty.index.migrate()
        empty.index.add_user(new_user("admin", ward.PASSWORD, Role.ADMIN, ward.NOW))
        object.__setattr__(
            empty, "settings", empty.settings.model_copy(update={"destinations": ()})
        )
        object.__setattr__(empty, "crew", Crew)
        app = FastAPI()
        app.include_router(views.router(empty, bare()))
        said = text(Visit(app, "admin").page(OPERATIONS))
        for words in (
            "No worker is running: start carina worker",
            "Nothing has failed.",
            "No destination is set",
            "No patient was merged and no study deleted yet.",
        ):
            assert words in said
        empty.index.close()

    def test_a_queue_that_is_away_is_told_and_the_rest_is_shown(
        self, visit: Visit, own: Services
    ) -> None:
        def away() -> Crew:
            raise OutOfResourcesError("expected the job queue to answer, found it away")

        object.__setattr__(own, "crew", away)
        page = visit.page(OPERATIONS)
        assert "Expected the job queue" in text(page.select_one("#workers"))
        assert "PACS@" in text(page.select_one("#destinations"))

    def test_trying_again_leaves_the_list_and_an_audit_row(
        self, visit: Visit, own: Services
    ) -> None:
        arrived: list[str] = []
        object.__setattr__(own, "arrived", arrived.append)
        back = (303, "/operations#failures")
        assert post(visit, RETRIES, kind="study", name=installation.BROKEN) == back
        assert post(visit, RETRIES, kind="commitment", name="2.25.900") == back
        post(visit, RETRIES, kind="destination", name=installation.PACS)
        page = visit.page(OPERATIONS)
        assert arrived == [installation.BROKEN]
        assert "waits to be judged" in row(page, "failures", "05:30 CET")
        assert "MODALITY" not in text(page.select_one("#failures"))
        assert " 3 0 no" in row(page, "destinations", installation.PACS)
        assert len(own.index.audits(actor="admin", action="retry")) == 3

    def test_what_is_dismissed_leaves_the_list_and_stands_under_its_filter(
        self, visit: Visit, own: Services
    ) -> None:
        why = {"reason": "a film of the  phantom "}
        path = "/operations/dismissals"
        back = (303, "/operations#failures")
        assert post(visit, path, kind="study", name=installation.BROKEN, **why) == back
        assert post(visit, path, kind="commitment", name="2.25.900", **why) == back
        assert post(visit, path, kind="destination", name=installation.OLD, **why)[0] == 303
        page = visit.page(OPERATIONS)
        assert "05:30 CET" not in text(page.select_one("#failures"))
        assert installation.OLD not in text(page)
        assert any("1 study could not" in text(one) for one in page.select(".needs a"))
        aside = visit.page(f"{OPERATIONS}?failures=dismissed")
        assert len(aside.select("#failures tbody tr")) == 3
        said = "Dismissed 10:30 CET by admin: a film of the phantom"
        assert said in row(aside, "failures", "05:30 CET")
        (audited,) = own.index.audits(
            actor="admin", action="dismiss", study_uid=installation.BROKEN
        )
        assert audited.detail.endswith("a film of the phantom")

    @pytest.mark.parametrize(
        ("fields", "status"),
        [
            ({"kind": "study", "name": installation.BROKEN, "reason": "  "}, 422),
            ({"kind": "study", "name": "1.2.826.0.1.1001.1", "reason": "why"}, 409),
            ({"kind": "delivery", "name": "none", "reason": "why"}, 404),
        ],
    )
    def test_nothing_is_dismissed_without_a_reason_or_a_failure(
        self, visit: Visit, own: Services, fields: dict[str, str], status: int
    ) -> None:
        assert post(visit, "/operations/dismissals", **fields)[0] == status
        assert own.index.failures(dismissed=True) == ()

    def test_another_site_can_try_nothing_again(self, visit: Visit, own: Services) -> None:
        answer = visit.client.post(
            RETRIES,
            data={"kind": "study", "name": installation.BROKEN},
            headers={"origin": "http://evil.example"},
        )
        assert answer.status_code == 403
        assert own.index.audits(action="retry") == ()


class TestUsers:
    def test_a_user_is_added_changed_and_shut_out(self, visit: Visit, own: Services) -> None:
        added = post(visit, USERS, username="ada", role="researcher", password="long enough now")
        assert added == (303, f"{USERS}#ada")
        changes = f"{USERS}/changes"
        post(visit, changes, username="ada", act="role", role="radiologist")
        first = own.index.user("ada").password_hash
        post(visit, changes, username="ada", act="password", password="another long one")
        post(visit, changes, username="ada", act="disable")
        ada = own.index.user("ada")
        assert (ada.role, ada.disabled) == (Role.RADIOLOGIST, True)
        assert ada.password_hash != first
        assert "disabled" in text(visit.page(USERS).select_one("#ada"))
        post(visit, changes, username="ada", act="enable")
        assert not own.index.user("ada").disabled

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            (
                {"username": "ada", "role": "admin", "password": "tiny pass"},
                "10 to 1024 characters",
            ),
            ({"username": "clinician", "role": "admin", "password": "long enough"}, "exists"),
            ({"username": "ada", "role": "king", "password": "long enough"}, "role"),
            ({"username": "a da", "role": "admin", "password": "long enough"}, "without blanks"),
        ],
    )
    def test_what_cannot_be_is_said_beside_the_form_which_keeps_the_name(
        self, admin: Visit, fields: dict[str, str], words: str
    ) -> None:
        status, said = post(admin, USERS, **fields)
        assert status in (409, 422)
        page = BeautifulSoup(said, "html.parser")
        assert words in text(page.select_one("[role=alert]"))
        assert page.select_one(f'.add input[value="{fields["username"]}"]') is not None
        assert fields["password"] not in said

    def test_nobody_locks_themselves_out(self, admin: Visit, services: Services) -> None:
        mine = admin.page(USERS).select_one("#admin")
        assert mine is not None
        acts = [str(one["value"]) for one in mine.select("input[name=act]")]
        assert "role" not in acts
        assert not [one for one in mine.select("button") if "Disable" in text(one)]
        for fields in ({"act": "disable"}, {"act": "role", "role": "clinician"}):
            status, said = post(admin, f"{USERS}/changes", username="admin", **fields)
            assert status == 403
            assert "your own access" in said
        assert services.index.user("admin").role is Role.ADMIN


def test_only_administrators_see_or_change_anything(app: FastAPI, services: Services) -> None:
    for role in ("clinician", "radiologist", "researcher"):
        visit = Visit(app, role)
        assert visit.page("/models").select_one('a[href="/operations"]') is None
        for path in (OPERATIONS, USERS):
            assert "P-2001" not in text(visit.page(path, 403))
        for path in (RETRIES, USERS, f"{USERS}/changes"):
            fields = {"kind": "study", "name": "1", "username": role, "act": "disable"}
            assert post(visit, path, **fields)[0] == 403
    assert not services.index.user("clinician").disabled


def test_who_looks_is_in_the_audit_with_each_patient_that_is_named(
    admin: Visit, services: Services
) -> None:
    admin.page(OPERATIONS)
    rows = services.index.audits(actor="admin", limit=3)
    assert rows[0].detail.startswith("operations: ")
    assert {one.patient_id for one in rows[1:]} == {"P-2001", "P-2002"}


@given(
    st.lists(
        st.tuples(*[st.integers(0, 500)] * 4),
        min_size=1,
        max_size=48,
    )
)
def test_bars_fill_their_box_and_stack_without_gaps(counts: list[tuple[int, ...]]) -> None:
    hours = [
        Hour(
            ward.NOW + timedelta(hours=number),
            films=good + odd,
            aside=odd,
            judged=good + refused + bad,
            refused=refused,
            failed=bad,
        )
        for number, (good, odd, refused, bad) in enumerate(counts)
    ]
    made = operations.inflow(hours, Zone.named("UTC"), ward.NOW)
    for bars, totals in (
        (made.films, [one.films for one in hours]),
        (made.judged, [one.judged for one in hours]),
    ):
        assert bars.most == max(totals)
        for x, total in enumerate(totals):
            parts = [one for one in bars.parts if one.x == x * operations.BAR + 1]
            high = sum(one.height for one in parts)
            assert high == pytest.approx(100 * total / max(bars.most, 1), abs=0.05)
            assert all(0 <= one.y <= 100 for one in parts)


@pytest.mark.parametrize(
    ("megabytes", "said"),
    [(0, "0 MB"), (0.4, "0.4 MB"), (512, "512 MB"), (1000, "1.0 GB"), (23_900, "23.3 GB"),
     (512_000, "500 GB"), (3 * 2**20, "3.0 TB")],
)  # fmt: skip
def test_a_size_is_written_in_the_unit_that_suits_it(megabytes: float, said: str) -> None:
    assert operations.size(megabytes) == said
