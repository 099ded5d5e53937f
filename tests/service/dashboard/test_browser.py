"""The pages in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect, sync_playwright
from pypdf import PdfReader

from service.api import routes
from service.api.feed import Feed
from service.api.headers import install_security_headers
from service.context import Services
from service.dashboard import views
from service.dashboard.assets import BUILT, Assets
from tests.service.dashboard import installation, ward

CHROMIUM = shutil.which("chromium")
AXE = BUILT.parent.parent / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
STUDY = "/studies/1.2.826.0.1.{}.{}"
SIZES = ((1280, 800), (1920, 1080), (820, 1180))
REVIEW = f"{STUDY.format(1001, 1)}/review"
OPERATIONS, USERS = "/operations", "/operations/users"
NOT_FOUND = "/patients/none"
PAGES = (
    "/", "/?who=outpatients", "/patients/P-1001", "/patients/P-2001", STUDY.format(1001, 1),
    STUDY.format(1006, 1), "/models", "/audit", "/reviews", REVIEW, OPERATIONS, USERS, "/login",
    NOT_FOUND,
)  # fmt: skip
PINCH = """() => {
  const c = document.querySelector('canvas[data-viewer]'), b = c.getBoundingClientRect();
  c.setPointerCapture = () => {};
  const send = (type, id, x, y) => c.dispatchEvent(new PointerEvent(type, {
    pointerId: id, pointerType: 'touch', bubbles: true,
    clientX: b.left + x, clientY: b.top + y }));
  send('pointerdown', 1, 200, 200); send('pointerdown', 2, 300, 200);
  send('pointermove', 2, 400, 200);
  send('pointerup', 1, 200, 200); send('pointerup', 2, 400, 200); }"""
FINGER = """([type, x, y]) => {
  const c = document.querySelector('canvas[data-viewer]'), b = c.getBoundingClientRect();
  c.setPointerCapture = () => {};
  c.dispatchEvent(new PointerEvent(type, { pointerId: 7, pointerType: 'touch', bubbles: true,
    clientX: b.left + x * b.width, clientY: b.top + y * b.height })); }"""
IN_ORDER = "[...document.querySelectorAll('[data-row]')].map(r => r.dataset.row)"
GREY = """([x, y]) => { const c = document.querySelector('canvas[data-viewer]');
  return c.getContext('2d').getImageData(c.width * x, c.height * y, 1, 1).data[0]; }"""

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(CHROMIUM is None, reason="left out: no chromium (apt install chromium)"),
    pytest.mark.xdist_group("browser"),
]


@pytest.fixture(scope="module")
def address(memory: Path, filled: Path, built: Assets) -> Iterator[tuple[str, Services]]:
    """A server of its own ward: these tests change it."""
    services = ward.services(shutil.copytree(filled, memory / "live"))
    feed = Feed(services.index, interval_s=0.1)
    app = FastAPI()
    app.include_router(routes.router(services, feed))
    app.include_router(views.router(services, built))
    install_security_headers(app)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}", services
    feed._closed = True
    server.should_exit = server.force_exit = True
    thread.join(10)
    services.index.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def state(browser: Browser, address: tuple[str, Services]) -> Any:
    """The cookies of one login through the real form."""
    context = browser.new_context(base_url=address[0])
    page = context.new_page()
    page.goto("/")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(ward.PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Worklist")).to_be_visible()
    kept = context.storage_state()
    context.close()
    return kept


@pytest.fixture
def page(browser: Browser, address: tuple[str, Services], state: Any) -> Iterator[Page]:
    """A page of its own; complaints of the browser and foreign requests fail the test."""
    context = browser.new_context(
        base_url=address[0], storage_state=state, viewport={"width": 1280, "height": 800}
    )
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda m: (
            complaints.append(m.text)
            if m.type == "error" and not m.location["url"].endswith(NOT_FOUND)
            else None
        ),
    )
    page.on(
        "request",
        lambda r: None if r.url.startswith((address[0], "blob:")) else complaints.append(r.url),
    )
    yield page
    context.close()
    assert complaints == []


def open_study(page: Page, number: int = 1001) -> None:
    page.goto(STUDY.format(number, 1))
    page.wait_for_selector("canvas[data-ready]", timeout=20_000)


def until(page: Page, spot: list[float], right: Callable[[int], bool]) -> None:
    """Wait for a grey value; the policy of the pages forbids to poll by `eval`."""
    for _ in range(100):
        if right(page.evaluate(GREY, spot)):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"the grey value stayed at {page.evaluate(GREY, spot)}")


def test_news_renews_a_row_but_moves_none_under_the_mouse(
    page: Page, address: tuple[str, Services]
) -> None:
    page.goto("/")
    expect(page.locator("[data-live]")).to_have_attribute("data-state", "on")
    before = page.evaluate(IN_ORDER)
    page.locator('[data-row="P-1002"]').hover(position={"x": 5, "y": 5})
    last = ward.WARD[8]
    record = replace(ward.risk_record(last, ward.NOW - timedelta(minutes=1), 0.52), risk_id="new")
    address[1].index.add_risk(record)
    expect(page.locator('[data-row="P-1009"] .figure')).to_have_text("52")
    assert page.evaluate(IN_ORDER) == before
    button = page.get_by_role("button", name="Order changed")
    expect(button).to_be_visible()
    page.mouse.move(600, 10)
    expect(button).to_be_hidden()
    assert page.evaluate(IN_ORDER)[0] == "P-1009"


def test_the_keyboard_leads_through_the_worklist_to_a_patient_and_back(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    focused = page.evaluate("document.activeElement.closest('[data-row]').dataset.row")
    assert focused == page.evaluate(IN_ORDER)[1]
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/patients/"))
    page.keyboard.press("b")
    page.wait_for_url(re.compile("/$"))
    page.keyboard.press("/")
    page.keyboard.type("kaya?")  # typing is no shortcut
    assert page.locator("input[type=search]").input_value() == "kaya?"
    expect(page.locator("dialog.help")).to_be_hidden()


def test_charts_share_one_time_and_read_all_values_at_once(page: Page) -> None:
    page.goto("/patients/P-1001")
    expect(page.locator(".u-over")).to_have_count(8)
    newest = page.locator(".panel output").all_inner_texts()
    assert newest[0].startswith("31.0 %")
    box = page.locator(".u-over").nth(2).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 20, steps=3)
    then = page.locator(".panel output").all_inner_texts()
    assert then != newest
    assert then[0].count("–") == 1
    assert "CET" in page.locator("[data-when]").inner_text()
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(re.compile("at="))


def test_dragging_windows_the_film_and_inverting_turns_it_round(page: Page) -> None:
    open_study(page)
    readout = page.locator("[data-readout]")
    before, grey = readout.inner_text(), page.evaluate(GREY, [0.5, 0.55])
    assert grey > 100  # the mediastinum is bright
    page.keyboard.press("i")
    until(page, [0.5, 0.55], lambda now: now == 255 - grey)
    page.keyboard.press("i")
    box = page.locator("canvas[data-viewer]").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 420, box["y"] + 260, steps=4)
    page.mouse.up()
    assert readout.inner_text() != before
    page.keyboard.press("r")
    expect(readout).to_have_text(re.compile(re.escape(before.split(" · zoom")[0])))


def test_zooming_keeps_its_place_and_measuring_says_millimetres(page: Page) -> None:
    open_study(page)
    page.mouse.move(500, 450)
    page.mouse.wheel(0, -240)
    expect(page.locator("[data-readout]")).to_contain_text("zoom 1.2")
    page.keyboard.press("m")
    expect(page.locator('[data-tool="measure"]')).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("?")
    expect(page.locator("dialog.help")).to_be_visible()
    expect(page.locator("dialog.help")).to_contain_text("Drag measures")


def test_prior_and_film_lie_over_each_other_and_are_swiped(page: Page) -> None:
    open_study(page)
    spot = [0.62, 0.55]  # a lung with opacity now and little before
    now = page.evaluate(GREY, spot)
    page.keyboard.press("s")
    expect(page.locator("[data-swipe]")).to_be_visible()
    expect(page.locator('.corner.tr[data-when-mode="swipe"]')).to_contain_text(
        "prior of 22 Nov 2026 05:10 CET"
    )
    page.locator("[data-swipe]").fill("100")
    until(page, spot, lambda grey: abs(grey - now) > 5)
    page.locator("[data-swipe]").fill("0")
    until(page, spot, lambda grey: grey == now)
    page.keyboard.press("d")
    expect(page.locator(".corner.tl").first).to_contain_text("denser than")
    page.keyboard.press("b")
    expect(page.get_by_text("Prior", exact=False).first).to_be_visible()


def test_the_loupe_follows_the_pointer_and_the_arrows(page: Page) -> None:
    open_study(page)
    film = page.locator("canvas[data-viewer]")
    plain = film.screenshot()
    page.keyboard.press("l")
    expect(page.locator('[data-do="loupe"]')).to_have_attribute("aria-pressed", "true")
    middle = shown(page, but=plain)  # without a pointer it looks at a mark
    page.keyboard.press("Shift+ArrowRight")
    moved = shown(page, but=middle)
    film.hover(position={"x": 150, "y": 200})
    assert shown(page, but=moved) != middle
    page.keyboard.press("l")
    expect(page.locator('[data-do="loupe"]')).to_have_attribute("aria-pressed", "false")


def shown(page: Page, but: bytes) -> bytes:
    """What the film's canvas shows as soon as it is something else."""
    for _ in range(100):
        now = page.locator("canvas[data-viewer]").screenshot()
        if now != but:
            return now
        page.wait_for_timeout(20)
    raise AssertionError("the picture of the film stayed the same")


def test_keys_alone_measure_in_millimetres_and_take_the_ruler_off(page: Page) -> None:
    open_study(page)
    told = page.locator("[data-told]")
    for key in ("m", "Enter", "Shift+ArrowRight", "Shift+ArrowDown", "Enter"):
        page.keyboard.press(key)
    expect(told).to_have_text(re.compile(r"^\d+\.\d mm at the detector$"))
    measured = page.locator("canvas[data-viewer]").screenshot()
    page.keyboard.press("Delete")
    shown(page, but=measured)


def test_a_finger_measures_and_a_finger_that_rests_opens_the_loupe(page: Page) -> None:
    open_study(page)
    film = page.locator("canvas[data-viewer]")
    readout = page.locator("[data-readout]").inner_text()
    plain = film.screenshot()
    page.evaluate(FINGER, ["pointerdown", 0.4, 0.6])
    opened = shown(page, but=plain)
    page.evaluate(FINGER, ["pointermove", 0.5, 0.6])
    shown(page, but=opened)
    page.evaluate(FINGER, ["pointerup", 0.5, 0.6])
    shown(page, but=opened)
    assert page.locator("[data-readout]").inner_text() == readout  # it windowed nothing
    page.get_by_role("button", name="Measure").click()
    plain = film.screenshot()
    for event in (["pointerdown", 0.3, 0.5], ["pointermove", 0.6, 0.5], ["pointerup", 0.6, 0.5]):
        page.evaluate(FINGER, event)
    shown(page, but=plain)
    expect(page.locator("[data-told]")).to_have_text(re.compile("mm at the detector"))


def test_prior_and_film_blink_at_a_pace_or_by_hand(page: Page) -> None:
    open_study(page)
    spot = [0.62, 0.55]  # a lung with opacity now and little before
    now = page.evaluate(GREY, spot)
    page.keyboard.press("k")
    until(page, spot, lambda grey: abs(grey - now) > 5)
    expect(page.locator('[data-blink-shown="prior"]')).to_contain_text("22 Nov 2026 05:10 CET")
    until(page, spot, lambda grey: grey == now)
    page.get_by_role("button", name="Pause").click()
    page.keyboard.press("]")
    expect(page.locator("[data-blink-value]")).to_have_text("0.8 s")
    page.emulate_media(reduced_motion="reduce")
    open_study(page)
    page.keyboard.press("k")
    expect(page.get_by_role("button", name="Other film")).to_be_visible()
    expect(page.get_by_role("button", name="Pause")).to_be_hidden()
    page.keyboard.press("x")
    until(page, spot, lambda grey: abs(grey - now) > 5)
    expect(page.locator("[data-told]")).to_have_text("Prior film")


def test_heat_map_and_each_contour_can_be_switched(page: Page) -> None:
    open_study(page)
    plain = page.locator("canvas[data-viewer]").screenshot()
    page.keyboard.press("h")
    expect(page.locator("[data-heat-value]")).to_have_text("60 %")
    heated = page.locator("canvas[data-viewer]").screenshot()
    page.get_by_label("Right lung", exact=True).check()
    page.get_by_label("Zone scores").check()
    page.wait_for_timeout(50)
    assert len({plain, heated, page.locator("canvas[data-viewer]").screenshot()}) == 3
    expect(page.get_by_label("Stomach")).to_be_disabled()


def test_news_leaves_the_switches_of_the_viewer_alone(
    page: Page, address: tuple[str, Services]
) -> None:
    open_study(page, 1001)
    page.get_by_label("Right lung", exact=True).check()
    with page.expect_response(re.compile(r"/studies/[\d.]+$")):
        address[1].index.put_patient(address[1].index.patient("P-1001"), ward.audit("write"))
    plain = page.locator("canvas[data-viewer]").screenshot()
    expect(page.get_by_label("Right lung", exact=True)).to_be_checked()
    page.get_by_label("Right lung", exact=True).uncheck()
    page.wait_for_timeout(50)
    assert page.locator("canvas[data-viewer]").screenshot() != plain


def test_a_film_that_is_not_aligned_can_only_be_seen_beside(page: Page) -> None:
    open_study(page, 1007)
    expect(page.get_by_role("button", name="Swipe")).to_be_disabled()
    expect(page.get_by_role("button", name="Difference")).to_be_disabled()
    page.keyboard.press("s")
    expect(page.locator('[data-mode="film"]')).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Beside").click()
    expect(page.locator('[data-mode="beside"]')).to_have_attribute("aria-pressed", "true")


def test_two_fingers_zoom_a_film(
    browser: Browser, address: tuple[str, Services], state: Any
) -> None:
    context = browser.new_context(base_url=address[0], storage_state=state, has_touch=True)
    page = context.new_page()
    open_study(page)
    page.evaluate(PINCH)
    expect(page.locator("[data-readout]")).to_contain_text("zoom 2.00")
    context.close()


def test_a_click_bends_a_contour_at_once_and_the_label_is_kept(
    page: Page, address: tuple[str, Services]
) -> None:
    page.goto(REVIEW)
    page.wait_for_selector("canvas[data-ready]", timeout=60_000)
    canvas, said = page.locator("canvas[data-viewer]"), page.locator("[data-drawn]")
    with page.expect_response(re.compile("/review/field/right_lung")):
        page.keyboard.press("x")
    expect(said).to_have_text(re.compile("unchanged"))
    box = canvas.bounding_box()
    assert box is not None
    canvas.click(position={"x": 0.4 * box["width"], "y": 0.5 * box["height"]})
    expect(said).to_have_text(re.compile("Redrawn"))
    page.keyboard.press("u")
    expect(said).to_have_text(re.compile("unchanged"))
    page.keyboard.press("ArrowLeft")  # the canvas has the focus: a mark moves, Enter acts there
    page.keyboard.press("Enter")
    expect(said).to_have_text(re.compile("Redrawn"))
    page.locator("select[name=value_left_upper]").select_option("2")
    page.locator("[data-accept]").click()
    page.get_by_role("button", name="Keep", exact=True).click()
    expect(page.get_by_text("Left upper corrected to 2 of 3")).to_be_visible()
    (kept,) = address[1].index.reviews(study_uid="1.2.826.0.1.1001.1")
    assert [one.verdict for one in kept.scores].count("accepted") == 6
    assert [one.name for one in kept.contours] == ["right_lung"]


class Hand:
    """Fingers on the film, as the screen tells them to the browser; places are shares of it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.session = page.context.new_cdp_session(page)

    def touch(self, kind: str, *fingers: tuple[float, float]) -> None:
        box = self.page.locator("canvas[data-viewer]").bounding_box()
        assert box is not None
        points = [
            {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"], "id": n}
            for n, (x, y) in enumerate(fingers)
        ]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def test_a_film_is_reviewed_by_finger(
    browser: Browser, address: tuple[str, Services], state: Any
) -> None:
    context = browser.new_context(
        base_url=address[0], storage_state=state, has_touch=True,
        viewport={"width": 820, "height": 1180},
    )  # fmt: skip
    page = context.new_page()
    page.goto(f"{STUDY.format(1003, 1)}/review")
    page.wait_for_selector("canvas[data-ready]", timeout=60_000)
    said, readout = page.locator("[data-drawn]"), page.locator("[data-readout]")
    hand = Hand(page)
    with page.expect_response(re.compile("/review/field/right_lung")):
        page.get_by_role("button", name="Cut", exact=True).tap()
    expect(said).to_have_text(re.compile("unchanged"))
    hand.touch("touchStart", (0.45, 0.5))
    hand.touch("touchStart", (0.45, 0.5), (0.55, 0.5))
    hand.touch("touchMove", (0.35, 0.5), (0.65, 0.5))
    hand.touch("touchEnd")
    expect(readout).not_to_contain_text("zoom 1.00")  # two fingers zoom,
    expect(said).to_have_text(re.compile("unchanged"))  # and the first one did not cut
    page.get_by_role("button", name="Reset", exact=True).tap()
    hand.touch("touchStart", (0.7, 0.5))
    hand.touch("touchMove", (0.4, 0.5))
    expect(said).to_have_text(re.compile("unchanged"))
    hand.touch("touchEnd")  # a finger cuts where it leaves
    expect(said).to_have_text(re.compile("Redrawn"))
    page.get_by_role("button", name="Undo").tap()
    page.get_by_role("button", name="Erase").tap()
    hand.touch("touchStart", (0.3, 0.3))
    page.wait_for_timeout(600)  # a finger that rests first draws all the same
    for spot in ((0.45, 0.3), (0.45, 0.7), (0.3, 0.7)):
        hand.touch("touchMove", spot)
    page.wait_for_timeout(150)  # Chromium takes a tap right after a flick for its end
    hand.touch("touchEnd")
    expect(said).to_have_text(re.compile("Redrawn"))
    reject = page.locator("input[name=verdict_left_upper][value=rejected]")
    reject.tap()
    expect(reject).to_be_checked()
    page.get_by_role("button", name="Keep", exact=True).tap()
    expect(page.get_by_text("Left upper rejected")).to_be_visible()
    (kept,) = address[1].index.reviews(study_uid="1.2.826.0.1.1003.1")
    assert [one.name for one in kept.contours] == ["right_lung"]
    context.close()


def test_the_operations_page_renews_its_parts_and_leaves_an_open_table_open(
    page: Page, address: tuple[str, Services]
) -> None:
    page.goto(OPERATIONS)
    expect(page.locator("[data-live]")).to_have_attribute("data-state", "on")
    page.get_by_text("Each hour as a table").click()
    failed = page.locator("#failures tbody tr").filter(has_text="05:30 CET")
    expect(failed).to_contain_text("given up")
    event = replace(ward.audit("retry"), actor="somebody else")
    address[1].index.retry_study(installation.BROKEN, event)
    expect(failed).to_contain_text("waits to be judged")
    expect(page.locator("#inflow tbody tr").first).to_be_visible()


def test_what_failed_is_tried_again_without_a_script(
    browser: Browser, address: tuple[str, Services], state: Any
) -> None:
    context = browser.new_context(
        base_url=address[0], storage_state=state, java_script_enabled=False
    )
    page = context.new_page()
    page.goto(OPERATIONS)
    page.get_by_role("button", name="Try again Storage commitment to MODALITY").press("Enter")
    page.wait_for_url(re.compile("/operations#failures$"))
    expect(page.locator("#failures")).not_to_contain_text("MODALITY")
    context.close()


def test_a_theme_is_kept_and_follows_the_system_until_chosen(page: Page) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="dark")
    page.goto("/models")
    dark = page.evaluate(ground)
    page.emulate_media(color_scheme="light")
    light = page.evaluate(ground)
    assert dark != light
    page.keyboard.press("t")
    assert page.evaluate(ground) == dark
    page.reload()
    assert page.evaluate(ground) == dark


def test_paper_is_white_whatever_the_screen_is(page: Page) -> None:
    page.emulate_media(color_scheme="dark", media="print")
    page.goto("/patients/P-1001")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_what_is_folded_is_printed(page: Page) -> None:
    page.goto("/patients/P-1001")
    expect(page.locator(".chart canvas").first).to_be_visible()
    said = " ".join(one.extract_text() for one in PdfReader(BytesIO(page.pdf(format="A4"))).pages)
    for folded in ("Fitted on", "Inputs missing for", "Consciousness", "23 Nov 2026 10:18 CET"):
        assert folded in said, folded
    assert page.locator("details[open]").count() == 0


def test_the_worklist_prints_across_with_its_headings_and_a_review_on_one_sheet(
    page: Page,
) -> None:
    page.goto("/")
    sheets = PdfReader(BytesIO(page.pdf(format="A4", prefer_css_page_size=True))).pages
    for sheet in sheets:
        assert sheet.mediabox.width > sheet.mediabox.height
        assert "Strongest reasons" in sheet.extract_text()
    page.goto(f"{STUDY.format(1004, 1)}/review")
    page.wait_for_selector("canvas[data-ready]", timeout=60_000)
    assert len(PdfReader(BytesIO(page.pdf(format="A4", prefer_css_page_size=True))).pages) == 1
    page.goto(OPERATIONS)
    said = " ".join(one.extract_text() for one in PdfReader(BytesIO(page.pdf())).pages)
    assert "Each hour as a table" in said
    assert "Reason" not in said  # forms are no paper


def test_a_chart_that_has_not_been_drawn_anew_widens_no_page(page: Page) -> None:
    page.add_init_script("addEventListener('resize', (e) => e.stopImmediatePropagation())")
    page.set_viewport_size({"width": 1920, "height": 1080})
    page.goto("/patients/P-1001")
    expect(page.locator(".chart canvas").first).to_be_visible()
    page.set_viewport_size({"width": 820, "height": 1180})
    assert page.evaluate("document.documentElement.scrollWidth") <= 820


def test_pages_can_be_read_without_scripts(
    browser: Browser, address: tuple[str, Services], state: Any
) -> None:
    context = browser.new_context(
        base_url=address[0], storage_state=state, java_script_enabled=False
    )
    page = context.new_page()
    page.goto("/")
    expect(page.locator("[data-row]")).to_have_count(12)
    page.goto("/?who=outpatients&sort=name&order=down")
    expect(page.locator("[data-row]")).to_have_count(1)
    page.get_by_label("Who").select_option("admitted")
    page.get_by_label("Sorted by").select_option("spo2")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("[data-row]")).to_have_count(12)
    expect(page.locator("th[aria-sort]")).to_contain_text("SpO₂")
    page.get_by_role("link", name="Okafor, Adaeze").click()
    expect(page.locator(".waterfall")).to_be_visible()
    page.goto(STUDY.format(1001, 1))
    expect(page.locator("img.still")).to_be_visible()
    context.close()


@pytest.mark.skipif(not AXE.is_file(), reason="left out: axe-core is not installed (npm ci)")
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_serious_in_either_theme_and_no_page_is_wider_than_its_screen(
    page: Page, path: str
) -> None:
    page.emulate_media(color_scheme="dark")
    page.goto(path)
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width
    page.evaluate(Path(AXE).read_text(encoding="utf-8"))
    assert serious(page, "{resultTypes: ['violations']}") == []
    page.emulate_media(color_scheme="light")  # the other theme differs in its colours alone
    assert serious(page, "{runOnly: ['color-contrast'], resultTypes: ['violations']}") == []


def serious(page: Page, options: str) -> list[tuple[str, list[str]]]:
    """What axe finds that keeps somebody from using the page."""
    found = page.evaluate(f"axe.run(document, {options})")
    return [
        (v["id"], [node["html"][:120] for node in v["nodes"][:3]])
        for v in found["violations"]
        if v["impact"] in {"serious", "critical"}
    ]
