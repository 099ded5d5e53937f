"""The OpenAPI document is true: whatever it permits or forbids, the answer is never a crash."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.records import Role

from .conftest import Stage, png

TEXT = st.characters()  # all of them, control characters and lone surrogates too
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(TEXT, max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
TIMES = ["2026-11-23T09:00:00Z", "2026-11-23T09:00:00", "9999-12-31T23:59:59-12:00", "now"]
WORDS = st.sampled_from(
    ["P1", "1.2.3", "spo2", "%", "film", "risk", *TIMES, "P1/risk", "..", "%00"]
)
FILM = png(size=256)


def of_schema(schema: dict[str, Any], document: dict[str, Any], depth: int = 0) -> Any:
    """A strategy for values that a schema describes, roughly: bounds are crossed now and then."""
    if "$ref" in schema:
        return of_schema(document["components"]["schemas"][schema["$ref"].split("/")[-1]], document)
    if "enum" in schema:
        return st.sampled_from(schema["enum"]) | st.text(max_size=5)
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return st.one_of([of_schema(one, document, depth) for one in schema[key]])
    if schema.get("format") == "date-time":
        return st.just(TIMES[0]) | st.sampled_from(TIMES)
    kind = schema.get("type")
    if kind == "object" and depth < 4:
        known = schema.get("properties", {})
        required = set(schema.get("required", ()))
        parts = {name: of_schema(one, document, depth + 1) for name, one in known.items()}
        return st.fixed_dictionaries(
            {name: one for name, one in parts.items() if name in required},
            optional={name: one for name, one in parts.items() if name not in required},
        ) if known else st.dictionaries(WORDS | st.text(max_size=8), ANY, max_size=3)  # fmt: skip
    if kind == "array":
        return st.lists(of_schema(schema.get("items", {}), document, depth + 1), max_size=3)
    simple = {
        "string": WORDS | st.text(TEXT, max_size=70),
        "integer": st.integers(-5, 2000) | st.integers(),
        "number": st.floats(),
        "boolean": st.booleans(),
        "null": st.none(),
    }
    return simple.get(str(kind), ANY)


def operations(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (method, path)
        for path, methods in document["paths"].items()
        for method in methods
        if path != "/api/v1/events"  # answered for minutes
    ]


def call(scene: Stage, method: str, path: str, role: Role, data: st.DataObject) -> Any:
    document = scene.app.openapi()
    described = document["paths"][path][method]
    query: dict[str, str] = {}
    for one in described.get("parameters", ()):
        value = data.draw(of_schema(one["schema"], document) | WORDS, label=one["name"])
        text = str(value).encode("utf-8", "replace").decode()
        if one["in"] == "path":
            path = re.sub(r"\{" + one["name"] + r"(:path)?\}", quote(text, safe=""), path)
        elif one["in"] == "query" and (one.get("required") or data.draw(st.booleans())):
            query[one["name"]] = text
    sent: dict[str, Any] = {}
    headers = scene.headers(role)
    content = described.get("requestBody", {}).get("content", {})
    if "multipart/form-data" in content:
        names = data.draw(st.lists(st.sampled_from(["film", "prior", "current"]), unique=True))
        sent["files"] = {
            name: data.draw(st.sampled_from([FILM, b"", b"x"]) | st.binary(max_size=40))
            for name in names
        }
    elif "application/json" in content:
        schema = content["application/json"]["schema"]
        body = data.draw(of_schema(schema, document) | ANY, label="body")
        sent["content"] = json.dumps(body)  # NaN, Infinity and lone surrogates included
        headers["content-type"] = "application/json"
    return scene.client.request(method.upper(), path, params=query or None, headers=headers, **sent)


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_no_request_that_can_be_made_ends_in_a_crash(scene: Stage, data: st.DataObject) -> None:
    scene.services.auth._throttle._failures.clear()
    method, path = data.draw(st.sampled_from(operations(scene.app.openapi())))
    role = data.draw(st.sampled_from([Role.ADMIN, Role.ADMIN, Role.RESEARCHER]))
    answer = call(scene, method, path, role, data)
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        kinds = ("application/problem+json", "application/fhir+json")
        assert answer.headers["content-type"] in kinds
        assert answer.json()


def test_every_operation_is_described(scene: Stage) -> None:
    document = scene.app.openapi()
    assert len(operations(document)) > 25
    for method, path in operations(document):
        described = document["paths"][path][method]
        assert described.get("description"), path
        assert described.get("tags"), path


def test_every_operation_with_patients_asks_for_a_login(scene: Stage) -> None:
    document = scene.app.openapi()
    public = {"/api/v1/token", "/healthz", "/readyz", "/metrics", "/fhir/metadata"}
    for method, path in operations(document):
        assert bool(document["paths"][path][method].get("security")) == (path not in public), path


@pytest.mark.parametrize("name", ["swagger-ui-bundle.js", "swagger-ui.css", "start.js", "page.css"])
def test_the_page_about_the_api_comes_from_this_server(scene: Stage, name: str) -> None:
    page = scene.client.get("/api/docs").text
    assert f'"/api/docs/{name}"' in page
    assert not re.search(r"(src|href)=\"(https?:)?//", page)
    assert "<script>" not in page
    assert scene.client.get(f"/api/docs/{name}").status_code == 200
    assert scene.client.get("/api/openapi.json").status_code == 200


def test_no_other_file_is_served_beside_the_page(scene: Stage) -> None:
    for name in ("redoc.standalone.js", "..%2f__init__.py", "core.py"):
        assert scene.client.get(f"/api/docs/{name}").status_code == 404
