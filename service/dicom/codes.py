"""Coded concepts of the results: DCM and SNOMED CT where they have one, else 99CARINA."""

from __future__ import annotations

from pydicom.sr.coding import Code

from models.structures.anatomy import STRUCTURES

SCHEME = "99CARINA"


def own(value: str, meaning: str) -> Code:
    """A concept that no public scheme has."""
    return Code(value, SCHEME, meaning)


LUNG = Code("39607008", "SCT", "Lung")
RIGHT = Code("24028007", "SCT", "Right")
LEFT = Code("7771000", "SCT", "Left")
AREA = Code("42798000", "SCT", "Area")
COMMENT = Code("121106", "DCM", "Comment")
IMAGING_PROCEDURE = Code("399208008", "SCT", "Plain chest X-ray")
ARTIFICIAL_INTELLIGENCE = Code("123109", "DCM", "Artificial Intelligence")
ANATOMICAL_STRUCTURE = Code("91723000", "SCT", "Anatomical structure")
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")

SCORE_UNIT = Code("{score}", "UCUM", "score")
NO_UNIT = Code("1", "UCUM", "no units")
SQUARE_MM = Code("mm2", "UCUM", "square millimeter")
DEGREE = Code("deg", "UCUM", "degree")

LUNG_OPACITY = own("LUNG-OPACITY", "Assessment of lung opacity")  # also of its absence
EXTENT = own("EXTENT", "Geographic extent of opacity, 0 to 8")
EXTENT_LOW = own("EXTENT-LOW", "Extent, lower bound of 90 % interval")
EXTENT_HIGH = own("EXTENT-HIGH", "Extent, upper bound of 90 % interval")
BRIXIA = own("BRIXIA", "Brixia score, 0 to 18")
PXS = own("PXS", "Pulmonary X-ray severity score")
ZONES = (
    own("BRIXIA-RU", "Brixia score of right upper zone, 0 to 3"),
    own("BRIXIA-RM", "Brixia score of right middle zone, 0 to 3"),
    own("BRIXIA-RL", "Brixia score of right lower zone, 0 to 3"),
    own("BRIXIA-LU", "Brixia score of left upper zone, 0 to 3"),
    own("BRIXIA-LM", "Brixia score of left middle zone, 0 to 3"),
    own("BRIXIA-LL", "Brixia score of left lower zone, 0 to 3"),
)
CHANGE = own("CHANGE", "Change of extent against prior")
CHANGE_LOW = own("CHANGE-LOW", "Change, lower bound of 90 % interval")
CHANGE_HIGH = own("CHANGE-HIGH", "Change, upper bound of 90 % interval")
CHANGE_PROBABILITY = own("CHANGE-REAL", "Probability that the change is real")
ZONE_CHANGES = (
    own("CHANGE-RU", "Change of Brixia score, right upper zone"),
    own("CHANGE-RM", "Change of Brixia score, right middle zone"),
    own("CHANGE-RL", "Change of Brixia score, right lower zone"),
    own("CHANGE-LU", "Change of Brixia score, left upper zone"),
    own("CHANGE-LM", "Change of Brixia score, left middle zone"),
    own("CHANGE-LL", "Change of Brixia score, left lower zone"),
)
ZONE_PROBABILITIES = (
    own("REAL-RU", "Probability that change is real, right upper"),
    own("REAL-RM", "Probability that change is real, right middle"),
    own("REAL-RL", "Probability that change is real, right lower"),
    own("REAL-LU", "Probability that change is real, left upper"),
    own("REAL-LM", "Probability that change is real, left middle"),
    own("REAL-LL", "Probability that change is real, left lower"),
)
CARDIOTHORACIC_RATIO = own("CTR", "Cardiothoracic ratio")
CARINA_ANGLE = own("CARINA-ANGLE", "Angle of tracheal bifurcation")
OUTCOME = own("OUTCOME", "Outcome of analysis")

_TYPES = {
    "lung": LUNG,
    "heart": Code("80891009", "SCT", "Heart"),
    "mediastinum": Code("72410000", "SCT", "Mediastinum"),
    "aorta": Code("15825003", "SCT", "Aorta"),
    "superior_vena_cava": Code("48345005", "SCT", "Superior vena cava"),
    "trachea": Code("44567001", "SCT", "Trachea"),
    "hilum": Code("46750007", "SCT", "Hilum of lung"),
    "clavicle": Code("51299004", "SCT", "Clavicle"),
    "scapula": Code("79601000", "SCT", "Scapula"),
    "ribs": Code("113197003", "SCT", "Rib"),
    "thoracic_spine": Code("122495006", "SCT", "Thoracic spine"),
    "sternum": Code("56873002", "SCT", "Sternum"),
    "hemidiaphragm": Code("5798000", "SCT", "Diaphragm"),
    "stomach": Code("69695003", "SCT", "Stomach"),
}
_SIDES = {"right": RIGHT, "left": LEFT}


def structure(name: str) -> tuple[Code, Code | None]:
    """Anatomical structure and side of one of the twenty structures."""
    side, _, rest = name.partition("_")
    if side in _SIDES:
        return _TYPES[rest], _SIDES[side]
    return _TYPES[name], None


STRUCTURE_CODES: dict[str, tuple[Code, Code | None]] = {
    name: structure(name) for name in STRUCTURES
}
"""Name of a structure to its SNOMED CT concept and side."""
