"""When Debian's Chromium first paints the list, over a connection to this machine."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
from playwright.sync_api import BrowserContext, sync_playwright

from benchmarks.ward.house import House

TIMES = 7
PAINTED = """() => new Promise((told) => {
  const find = () => performance.getEntriesByName('first-contentful-paint')[0];
  if (find()) told(find().startTime);
  else new PerformanceObserver(() => { if (find()) told(find().startTime); })
    .observe({ type: 'paint', buffered: true });
})"""


def measure(house: House) -> dict[str, Any]:
    """Milliseconds from the click to the first content, each in a new browser context.

    The first is left out: it starts the browser's own processes.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("expected Debian's chromium on the path, found none: apt install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        times = []
        for _ in range(TIMES):
            context = browser.new_context(viewport={"width": 1920, "height": 1080})
            times.append(_paint(context, house))
            context.close()
        browser.close()
    return {
        "first_paint_ms": round(float(np.median(times[1:])), 1),
        "most_ms": round(max(times[1:]), 1),
    }


def _paint(context: BrowserContext, house: House) -> float:
    context.add_cookies(
        [
            {"name": name, "value": value, "url": house.base}
            for name, value in house.cookies().items()
        ]
    )
    page = context.new_page()
    page.goto(house.base)
    return float(page.evaluate(PAINTED))
