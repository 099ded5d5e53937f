"""What this FHIR server can do, as a CapabilityStatement (FHIR R4)."""

from __future__ import annotations

from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from service.records import RESEARCH_USE

SEARCHES = {
    "Observation": ("patient", "category"),
    "RiskAssessment": ("patient", "date"),
    "DiagnosticReport": ("patient",),
}


def _version() -> str:
    try:
        return version("carina")
    except PackageNotFoundError:  # run from a folder that was never installed
        return "0"


def statement(now: datetime, base: str) -> dict[str, Any]:
    """The CapabilityStatement of the server at `base`."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": now.date().isoformat(),
        "kind": "instance",
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json"],
        "software": {"name": "Carina", "version": _version()},
        "implementation": {
            "description": f"Chest X-ray severity and ventilation risk. {RESEARCH_USE}",
            "url": base,
        },
        "rest": [
            {
                "mode": "server",
                "security": {
                    "cors": False,
                    "description": "Bearer token from POST /api/v1/token, or a session cookie.",
                },
                "interaction": [{"code": "transaction"}, {"code": "batch"}],
                "resource": [
                    _resource("Patient", ("read",)),
                    _resource("Observation", ("create", "read", "search-type")),
                    _resource("RiskAssessment", ("search-type",)),
                    _resource("DiagnosticReport", ("read", "search-type")),
                ],
            }
        ],
    }


def _resource(kind: str, interactions: tuple[str, ...]) -> dict[str, Any]:
    resource: dict[str, Any] = {
        "type": kind,
        "interaction": [{"code": code} for code in interactions],
    }
    names = SEARCHES.get(kind, ())
    types = {"patient": "reference", "category": "token", "date": "date"}
    if names:
        resource["searchParam"] = [{"name": name, "type": types[name]} for name in names]
    return resource
