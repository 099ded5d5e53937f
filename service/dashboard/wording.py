"""What codes and names are called on a page, and what somebody can do about a refusal."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from service.risk_record import window_of

ZONES: Final = MappingProxyType(
    {
        "right_upper": "Right upper",
        "right_middle": "Right middle",
        "right_lower": "Right lower",
        "left_upper": "Left upper",
        "left_middle": "Left middle",
        "left_lower": "Left lower",
    }
)
"""The patient's right and left, in the order of every zone array."""

BANDS: Final = MappingProxyType(
    {"high": "High", "medium": "Raised", "low": "Low", "unknown": "No number"}
)

VITALS: Final = MappingProxyType(
    {
        "respiratory_rate": "RR",
        "spo2": "SpO₂",
        "fio2": "FiO₂",
        "oxygen_flow": "O₂",
        "heart_rate": "HR",
        "mean_bp": "MAP",
        "systolic_bp": "SBP",
    }
)
"""Short names, in the order in which the worklist shows them."""

CHARTED: Final = (*VITALS, "temperature", "gcs")

VARIABLES: Final = MappingProxyType(
    {
        "respiratory_rate": "Respiratory rate",
        "spo2": "SpO₂",
        "fio2": "Inspired oxygen",
        "oxygen_flow": "Oxygen flow",
        "heart_rate": "Heart rate",
        "mean_bp": "Mean pressure",
        "systolic_bp": "Systolic pressure",
        "diastolic_bp": "Diastolic pressure",
        "temperature": "Temperature",
        "gcs": "Glasgow coma scale",
        "ph": "Arterial pH",
        "pao2": "PaO₂",
        "paco2": "PaCO₂",
        "bicarbonate": "Bicarbonate",
        "lactate": "Lactate",
        "wbc": "White cells",
        "haemoglobin": "Haemoglobin",
        "creatinine": "Creatinine",
        "urea": "Urea",
        "urine_output": "Urine output",
        "severity_extent": "Severity of the film",
        "age_years": "Age",
        "sex": "Sex",
        "hours_in_unit": "Hours in the unit",
        "ventilated": "Ventilated now",
        "sf_ratio": "SpO₂/FiO₂",
        "rox": "ROX index",
        "crp": "C-reactive protein",
        "copd": "COPD",
    }
)


STATISTICS: Final = MappingProxyType(
    {
        "min": "lowest of",
        "max": "highest of",
        "mean": "mean of",
        "slope": "trend of",
        "change": "change over",
    }
)


def variable(name: str) -> str:
    """A variable in words; the window of a statistic is spelled out."""
    window = window_of(name)
    if window is None:
        return VARIABLES.get(name, name.replace("_", " ").capitalize())
    base, statistic, hours = window
    return f"{variable(base)}, {STATISTICS[statistic]} {hours} h"


def spelled(text: str) -> str:
    """Chemical formulas with their small figures, and comparisons with their sign."""
    for plain, proper in (("O2", "O₂"), ("<=", "≤"), (">=", "≥")):
        text = text.replace(plain, proper)
    return text


def structure(name: str) -> str:
    """A structure in words."""
    return name.replace("_", " ").capitalize()


@dataclass(frozen=True, slots=True)
class Refused:
    """Why there is no score, and what to do."""

    what: str
    do: str


REFUSALS: Final = MappingProxyType(
    {
        "not_chest": Refused(
            "This picture does not look like a chest film.",
            "Check that the right study was sent. Other body parts are kept but never scored.",
        ),
        "not_frontal": Refused(
            "This is not a frontal view.",
            "Send the frontal (PA or AP) film of this study; it is scored when it arrives.",
        ),
        "undecodable": Refused(
            "The picture could not be decoded.",
            "Send it again with another transfer syntax, for example uncompressed.",
        ),
        "truncated": Refused(
            "The picture ends before it is complete.",
            "Send the film again from the PACS.",
        ),
        "too_small": Refused(
            "The picture has too few pixels to be read.",
            "Send the original film, not a thumbnail or a screenshot.",
        ),
        "blank": Refused(
            "The picture shows nothing: all of it has nearly the same grey.",
            "Check the exposure and send the right film.",
        ),
        "burned_over": Refused(
            "Large parts of the picture are pure black or white.",
            "Send the original film without markings, or repeat the exposure.",
        ),
        "unlike_training": Refused(
            "This film is unlike the films that the models learned from.",
            "Read it without a score. A child, a strong rotation, a mirrored film or a large "
            "device can do this.",
        ),
    }
)
NO_FILM: Final = Refused(
    "No film of this study could be scored.",
    "Read the study in the PACS. A frontal film that arrives later is scored at once.",
)
FAILED: Final = Refused(
    "The models could not finish with this study.",
    "Read it without a score and tell the administrator: the server's log says what broke.",
)


def refusal(code: str) -> Refused:
    """The words for a refusal code; an unknown code says no more than is known."""
    return REFUSALS.get(code, NO_FILM)
