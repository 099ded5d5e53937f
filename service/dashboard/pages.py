"""Templates into answers: one environment, one set of headers."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from service.dashboard.assets import Assets
from service.records import RESEARCH_USE

TEMPLATES = Path(__file__).parent / "templates"
THEME_COOKIE = "carina_theme"
THEMES = frozenset({"dark", "light"})

# No inline script or style, nothing from elsewhere. Charts set styles through the object model,
# which the policy allows.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
PACKED = {"content-encoding": "gzip", "vary": "accept-encoding"}
LEAST_PACKED = 8192  # bytes; a page of the worklist shrinks to a tenth
PACKED_LEVEL = 1  # three milliseconds for such a page; level 6 takes four times as long


def segment(text: str) -> str:
    """An identifier as one segment of a path, whatever it contains."""
    return quote(text, safe="")


class Pages:
    """Renders templates; every page gets the theme, the assets and the research-use notice."""

    def __init__(self, assets: Assets) -> None:
        self._assets = assets
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters["segment"] = segment

    def show(
        self, request: Request, template: str, status: int = 200, **context: Any
    ) -> HTMLResponse:
        """One page. `entry` in the context names its own script beside the common one."""
        theme = request.cookies.get(THEME_COOKIE, "")
        entry = context.pop("entry", None)
        html = (
            self._environment.get_template(template)
            .render(
                path=request.url.path,
                theme=theme if theme in THEMES else "",
                common=self._assets.entry("page"),
                own=self._assets.entry(entry) if entry else None,
                research_use=RESEARCH_USE,
                **context,
            )
            .encode()
        )
        if len(html) < LEAST_PACKED or "gzip" not in request.headers.get("accept-encoding", ""):
            return HTMLResponse(html, status, HEADERS)
        packed = gzip.compress(html, PACKED_LEVEL, mtime=0)
        return HTMLResponse(packed, status, HEADERS | PACKED)

    def part(self, template: str, **context: Any) -> Markup:
        """A piece of a page that does not depend on who looks at it."""
        return Markup(self._environment.get_template(template).render(**context))  # noqa: S704  # escaped by the template
