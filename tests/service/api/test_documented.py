"""Every route of the API is in docs/api.md, and nothing else is."""

from __future__ import annotations

import re
from pathlib import Path

from models.refusal import REFUSAL_CODES
from service.api.limits import JSON_MB
from service.api.schemas import MOST_OBSERVATIONS
from service.auth import TOKEN_MINUTES, Throttle

from .conftest import Stage

DOCS = Path(__file__).resolve().parents[3] / "docs"
TEXT = (DOCS / "api.md").read_text(encoding="utf-8")


def test_every_route_is_documented_and_every_documented_route_exists(scene: Stage) -> None:
    known = {
        f"{method.upper()} {path}"
        for path, methods in scene.app.openapi()["paths"].items()
        for method in methods
    }
    documented = set(re.findall(r"^\| `([A-Z]+ /[^`]*)` \|", TEXT, re.MULTILINE))
    assert documented == known


def test_the_query_parameters_in_the_table_exist(scene: Stage) -> None:
    paths = scene.app.openapi()["paths"]
    rows = re.findall(r"^\| `([A-Z]+) (/[^`]*)` \| (.*) \|$", TEXT, re.MULTILINE)
    assert rows
    for method, path, words in rows:
        parameters = paths[path][method.lower()].get("parameters", [])
        for one in parameters:
            name = one["name"]
            if one["in"] == "query" and not name.startswith("_") and path != "/api/v1/events":
                assert re.search(rf"`{name}[`=]", words), f"{path}: {name}"


def test_the_figures_are_those_of_the_program() -> None:
    for figure in (
        f"{TOKEN_MINUTES} minutes",
        f"{Throttle.PAIR} for a user from one address",
        f"{Throttle.ADDRESS} for an address",
        f"{JSON_MB} MB for JSON",
        f"{MOST_OBSERVATIONS} values",
    ):
        assert re.search(figure.replace(" ", r"\s+"), TEXT), figure
    for code in REFUSAL_CODES:
        assert f"`{code}`" in TEXT
