"""A measured figure in words: the same on cards, in tables and in the README."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMES = ("value", "share", "mean")  # what cards call the figure itself


def wording(figure: Any) -> str:
    """A figure and its interval, "0.748 (0.617 to 0.838)"; "not measured" where there is none.

    Parameters
    ----------
    figure : a number, or a mapping with one of `NAMES` and, where it has an interval, `low` and
        `high`.
    """
    if isinstance(figure, int | float):
        return _number(figure)
    known = figure if isinstance(figure, Mapping) else {}
    value = next((known[name] for name in NAMES if name in known), None)
    if value is None:
        return "not measured"
    if known.get("low") is None:
        return _number(value)
    return f"{value:.3g} ({known['low']:.3g} to {known['high']:.3g})"


def _number(value: float) -> str:
    """Three digits; whole numbers in full."""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.3g}"
