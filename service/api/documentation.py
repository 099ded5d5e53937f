"""The page that explains the API, from files of this machine alone."""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import HTMLResponse, Response

from service.errors import NotFoundError
from service.records import RESEARCH_USE

OPENAPI = "/api/openapi.json"
CACHE = "public, max-age=86400"

# Swagger UI as the package `fastapi-offline` carries it; only its files are used.
ASSETS = files("fastapi_offline") / "static"
KINDS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
}

PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Carina API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/api/docs/swagger-ui.css">
<link rel="stylesheet" href="/api/docs/page.css">
</head>
<body>
<p role="note">{RESEARCH_USE}</p>
<main id="swagger-ui"><p>This page needs scripts. The description itself is
<a href="{OPENAPI}">{OPENAPI}</a>.</p></main>
<script src="/api/docs/swagger-ui-bundle.js"></script>
<script src="/api/docs/start.js"></script>
</body>
</html>
"""

STYLE = """body { margin: 0; background: #fff; font-family: sans-serif; }
body > p { margin: 0; padding: 0.75rem 1.25rem; background: #1b2733; color: #fff; }
"""

# The validator badge would ask a server on the internet: switched off.
START = f"""SwaggerUIBundle({{
  url: "{OPENAPI}",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
}});
"""

routes = APIRouter(prefix="/api/docs", include_in_schema=False)


@routes.get("")
def page() -> HTMLResponse:
    """The interactive description of the API."""
    return HTMLResponse(PAGE)


@routes.get("/start.js")
def start() -> Response:
    """Start the page; a file of its own, because the policy allows no inline script."""
    return Response(START, media_type="text/javascript", headers={"cache-control": CACHE})


@routes.get("/page.css")
def style() -> Response:
    """The frame around the description."""
    return Response(STYLE, media_type="text/css", headers={"cache-control": CACHE})


@routes.get("/{name}")
def asset(name: Annotated[str, Path(max_length=40)]) -> Response:
    """Script and style of the page."""
    kind = KINDS.get(name)
    if kind is None:
        raise NotFoundError(f"expected one of {', '.join(KINDS)}, found another name")
    data = ASSETS.joinpath(name).read_bytes()
    return Response(data, media_type=kind, headers={"cache-control": CACHE})
