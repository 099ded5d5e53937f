"""Six lung zones, in the order of every zone array, and how a mirrored film permutes them."""

from __future__ import annotations

ZONES: tuple[str, ...] = (
    "right_upper",
    "right_middle",
    "right_lower",
    "left_upper",
    "left_middle",
    "left_lower",
)
"""Patient's right and left. Each is scored 0-3 (Brixia: 0 clear, 3 alveolar predominance)."""

MIRRORED: tuple[int, ...] = (3, 4, 5, 0, 1, 2)
"""`zones[MIRRORED]` are the zones of the film flipped left to right."""

BRIXIA_LETTERS: tuple[str, ...] = ("A", "B", "C", "D", "E", "F")
"""The letters of Borghesi and Maroldi (2020) for `ZONES`: A-C right, D-F left, from the top."""

EXTENT_MAX = 8.0
ZONE_MAX = 3.0
BRIXIA_MAX = 18.0
