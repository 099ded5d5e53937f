"""Both themes: every text colour on every ground that it stands on reaches AA (4.5 to 1)."""

from __future__ import annotations

import re
from itertools import product

import pytest

from service.dashboard.assets import BUILT

TOKENS = BUILT.parent.parent / "frontend" / "src" / "styles" / "tokens.css"
PLAIN = product(("text", "soft", "muted", "stale", "risk", "change"), ("bg", "surface", "hover"))
PAIRS = [
    *PLAIN,
    *product(("text", "soft", "muted"), ("raised",)),
    ("risk", "risk-wash"),
    ("change", "change-wash"),
    ("notice", "notice-wash"),
    ("alert", "alert-wash"),
    ("alert", "surface"),
]


def themes() -> dict[str, dict[str, str]]:
    css = TOKENS.read_text()
    light, system_dark, dark = re.findall(r":root[^{]*\{([^}]*)\}", css)
    read = {
        name: dict(re.findall(r"--([\w-]+):\s*(#\w{6})", block))
        for name, block in (("light", light), ("system dark", system_dark), ("dark", dark))
    }
    assert read["system dark"] == read["dark"]
    return read


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), PAIRS)
def test_text_stands_out_from_its_ground(theme: str, ink: str, ground: str) -> None:
    colours = themes()[theme]
    light, dark = sorted((luminance(colours[ink]), luminance(colours[ground])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5
