"""Schemathesis reads the OpenAPI document and sends what it permits and forbids."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
)

from service.records import Role

from .conftest import Stage

pytestmark = pytest.mark.filterwarnings(  # a thread of the service drew a number meanwhile
    "ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning"
)
CHECKS = [not_a_server_error, response_schema_conformance, content_type_conformance]


def obeys(scene: Stage, roles: list[Role | None], max_examples: int) -> None:
    """Send cases of every operation but the stream of events, which is answered for minutes."""
    document = schemathesis.openapi.from_asgi("/api/openapi.json", scene.app)
    for found in document.exclude(path="/api/v1/events").get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=max_examples,
            deadline=None,
            derandomize=True,
            database=None,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def sent(case: Case) -> None:
            for role in roles:
                scene.services.auth._throttle._failures.clear()
                headers = scene.headers(role) if role else {}
                case.call_and_validate(headers=headers, checks=CHECKS)

        sent()


def test_each_answer_is_as_described(scene: Stage) -> None:
    obeys(scene, [Role.ADMIN, None], max_examples=2)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_each_of_many_answers_is_as_described(scene: Stage) -> None:
    obeys(scene, [Role.ADMIN, Role.CLINICIAN, None], max_examples=200)
