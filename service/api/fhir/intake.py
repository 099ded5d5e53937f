"""A FHIR Observation as somebody sends it -> our values, or an issue that says why not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fhir.resources.R4B.observation import Observation as R4Observation
from pydantic import ValidationError

from risk.features import BadValue
from service.api.fhir.codes import BY_LOINC, LOINC, PANELS, UCUM, UNITS_OF_CODE, identifier_of
from service.api.observations import Sent, checked
from service.api.schemas import in_utc
from service.records import Observation

USABLE = frozenset({"final", "amended", "corrected", "preliminary"})
MOST_COMPONENTS = 50


@dataclass(frozen=True, slots=True)
class Issue:
    """Why something was not stored. `code` is a FHIR issue type."""

    code: str
    message: str
    where: str = "Observation"


@dataclass(frozen=True, slots=True)
class Taken:
    """What one FHIR Observation came to."""

    observations: tuple[Observation, ...]
    issues: tuple[Issue, ...]


class _Unusable(Exception):  # noqa: N818  # like models.refusal.Refusal: an answer, no failure
    """The resource as a whole, or one value of it, cannot be used."""

    def __init__(self, code: str, message: str, where: str = "Observation") -> None:
        super().__init__(message)
        self.issue = Issue(code, message, where)


def take(resource: object, now: datetime, source: str) -> Taken:
    """Read every value of an Observation, components included.

    Parameters
    ----------
    resource : the JSON as it was sent.
    source : kept with the values where the resource names no device.
    """
    try:
        sent = _validated(resource)
        patient_id = _patient(sent.get("subject"))
        observed_at = _moment(sent)
        parts = tuple(_parts(sent))
    except _Unusable as unusable:
        return Taken((), (unusable.issue,))
    device = sent.get("device", {}).get("display") or source
    found: list[Observation] = []
    issues: list[Issue] = []
    for part, where in parts:
        try:
            found.append(_value(part, where, patient_id, observed_at, device[:64], now))
        except _Unusable as unusable:
            issues.append(unusable.issue)
    if not parts:
        issues.append(Issue("required", "expected a value or components, found neither"))
    return Taken(tuple(found), tuple(issues))


def _validated(resource: object) -> Mapping[str, Any]:
    """The resource, checked against FHIR R4 and freed of nulls."""
    if not isinstance(resource, dict) or resource.get("resourceType") != "Observation":
        raise _Unusable("not-supported", "expected a resource of type Observation", "")
    try:
        valid = R4Observation.model_validate(resource)
        clean: dict[str, Any] = json.loads(valid.model_dump_json())
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(one) for one in ("Observation", *first["loc"]))
        raise _Unusable("structure", f"not valid FHIR R4: {first['msg']}", where) from None
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        raise _Unusable("structure", "not valid FHIR R4") from None
    status = clean.get("status")
    if status not in USABLE:
        raise _Unusable(
            "business-rule",
            f"expected a status of {', '.join(sorted(USABLE))}, found {status}; not stored",
            "Observation.status",
        )
    return clean


def _patient(subject: Mapping[str, Any] | None) -> str:
    subject = subject or {}
    identifier = subject.get("identifier", {}).get("value", "")
    kind, _, name = subject.get("reference", "").rpartition("/")
    if not identifier and (kind == "Patient" or kind.endswith("/Patient")):
        identifier = identifier_of(name)
    if not 1 <= len(identifier) <= 64 or not identifier.isprintable():
        raise _Unusable(
            "required",
            "expected subject.reference Patient/{id} or subject.identifier with a value of 1 to "
            "64 characters",
            "Observation.subject",
        )
    return str(identifier)


def _moment(sent: Mapping[str, Any]) -> datetime:
    period = sent.get("effectivePeriod", {})
    text = sent.get("effectiveDateTime") or sent.get("effectiveInstant")
    text = text or period.get("end") or period.get("start") or ""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError
        return in_utc(moment)
    except (ValueError, TypeError, OverflowError):
        raise _Unusable(
            "required",
            "expected effectiveDateTime with date, time and zone between 1900 and 2199",
            "Observation.effective",
        ) from None


def _parts(sent: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Each value with its code: the Observation itself, then its components."""
    components: Sequence[Mapping[str, Any]] = sent.get("component", [])
    if len(components) > MOST_COMPONENTS:
        raise _Unusable("too-long", f"expected at most {MOST_COMPONENTS} components, found more")
    own_value = any(name.startswith("value") and not name.startswith("_") for name in sent)
    is_panel = bool(PANELS & set(_loinc(sent)))
    absent = "dataAbsentReason" in sent and not components
    if own_value or absent or (not components and not is_panel):
        yield sent, "Observation"
    for number, component in enumerate(components):
        yield component, f"Observation.component[{number}]"


def _loinc(part: Mapping[str, Any]) -> list[str]:
    codings = part.get("code", {}).get("coding", [])
    return [one.get("code", "") for one in codings if one.get("system") == LOINC]


def _value(  # noqa: PLR0917  # what the value is, and whose, when, from where
    part: Mapping[str, Any],
    where: str,
    patient_id: str,
    observed_at: datetime,
    source: str,
    now: datetime,
) -> Observation:
    codes = _loinc(part)
    variable = _variable(codes, where)
    value, unit = _quantity(part, where)
    for code in codes:
        allowed = UNITS_OF_CODE.get(code)
        if allowed and unit not in allowed:
            raise _Unusable(
                "value",
                f"expected {' or '.join(sorted(allowed))} with LOINC {code}, found {unit!r}",
                f"{where}.valueQuantity",
            )
    try:
        return checked(Sent(patient_id, variable, value, unit, observed_at, source), now)
    except BadValue as error:
        raise _Unusable("value", str(error), where) from None


def _variable(codes: Sequence[str], where: str) -> str:
    known = {BY_LOINC[code] for code in codes if code in BY_LOINC}
    if len(known) == 1:
        return known.pop()
    if known:
        raise _Unusable(
            "code-invalid",
            f"expected codes of one variable, found those of {', '.join(sorted(known))}",
            f"{where}.code",
        )
    found = ", ".join(codes[:5]) or "none"
    raise _Unusable(
        "code-invalid",
        f"expected a LOINC code that GET /api/v1/variables lists, found {found}; not stored",
        f"{where}.code",
    )


def _quantity(part: Mapping[str, Any], where: str) -> tuple[float, str]:
    """The number and its unit; a plain integer is a score."""
    if "valueInteger" in part:
        return float(part["valueInteger"]), "{score}"
    quantity = part.get("valueQuantity")
    if quantity is None or "value" not in quantity:
        reason = part.get("dataAbsentReason", {})
        said = "dataAbsentReason" if reason else "none"
        raise _Unusable("required", f"expected valueQuantity with a value, found {said}", where)
    if quantity.get("comparator"):
        raise _Unusable(
            "value",
            f"expected an exact value, found one with the comparator {quantity['comparator']}",
            f"{where}.valueQuantity.comparator",
        )
    code = quantity.get("code") if quantity.get("system", UCUM) == UCUM else None
    unit = code or quantity.get("unit") or ""
    if not unit:
        raise _Unusable("required", "expected a UCUM unit, found none", f"{where}.valueQuantity")
    return float(quantity["value"]), str(unit)
