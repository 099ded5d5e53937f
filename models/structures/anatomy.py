"""The twenty structures, in the order of every mask array."""

from __future__ import annotations

STRUCTURES: tuple[str, ...] = (
    "right_lung",
    "left_lung",
    "heart",
    "mediastinum",
    "aorta",
    "superior_vena_cava",
    "trachea",
    "right_hilum",
    "left_hilum",
    "right_clavicle",
    "left_clavicle",
    "right_scapula",
    "left_scapula",
    "right_ribs",
    "left_ribs",
    "thoracic_spine",
    "sternum",
    "right_hemidiaphragm",
    "left_hemidiaphragm",
    "stomach",
)
"""Patient's right and left: the patient's right is on the left of a frontal film."""
