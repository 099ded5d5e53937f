"""Codes of other people's vocabularies, and ours in them: LOINC, UCUM, and identifiers."""

from __future__ import annotations

import re
from collections.abc import Mapping

from service.api.observations import VARIABLES

LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
CARINA = "urn:carina"  # our own code systems: urn:carina:severity, urn:carina:outcome, ...
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
VITAL_SIGNS = frozenset(
    {
        "heart_rate", "respiratory_rate", "spo2", "systolic_bp", "diastolic_bp", "mean_bp",
        "temperature", "fio2", "oxygen_flow", "gcs",
    }
)  # fmt: skip
PANELS = frozenset({"85354-9", "55284-4"})  # blood pressure: the values are in the components

# Beside the code that risk/features.py names for each variable.
_OTHER_CODES: Mapping[str, str] = {
    "2708-6": "spo2",  # arterial blood; monitors send it beside 59408-5
    "19994-3": "fio2",  # ventilator setting
    "8331-1": "temperature",  # oral
    "8332-5": "temperature",  # rectal
    "1960-4": "bicarbonate",  # arterial blood
    "2518-9": "lactate",  # arterial blood
    "14682-9": "creatinine",  # moles per volume
    "3094-0": "urea",  # urea nitrogen, mass per volume
}
BY_LOINC: Mapping[str, str] = {
    **{variable.loinc: name for name, variable in VARIABLES.items() if variable.loinc},
    **_OTHER_CODES,
}
"""LOINC code -> our variable."""

# 1 mg/dL is another amount as urea than as urea nitrogen: the code decides which unit may come.
UNITS_OF_CODE: Mapping[str, frozenset[str]] = {
    "22664-7": frozenset({"mmol/L"}),
    "3094-0": frozenset({"mg/dL"}),
}

# Our unit -> UCUM, where they differ.
_TO_UCUM: Mapping[str, str] = {"fraction": "1", "points": "{score}", "pH": "[pH]"}

_FHIR_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_ESCAPED = "esc."


def ucum(unit: str) -> str:
    """The UCUM code of one of our units."""
    return _TO_UCUM.get(unit, unit)


def fhir_id(identifier: str) -> str:
    """A hospital's identifier as a FHIR id: itself where it may be one, else escaped."""
    if _FHIR_ID.fullmatch(identifier) and not identifier.startswith(_ESCAPED):
        return identifier
    return _ESCAPED + "".join(_escape(character) for character in identifier)


def identifier_of(fhir_id: str) -> str:
    """The hospital's identifier of a FHIR id; the inverse of `fhir_id`."""
    if not fhir_id.startswith(_ESCAPED):
        return fhir_id
    escaped = fhir_id.removeprefix(_ESCAPED)
    return re.sub(r"\.([0-9A-F]+)-", lambda found: _character(found[1]), escaped)


def _escape(character: str) -> str:
    plain = character.isascii() and character.isalnum()
    return character if plain else f".{ord(character):X}-"


def _character(code: str) -> str:
    number = int(code[:8], 16)
    return chr(number) if number <= 0x10FFFF and not 0xD800 <= number < 0xE000 else ""
