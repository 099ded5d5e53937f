"""A table of figures beside the bars that they shall keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.figure import wording

HEAD = ("| figure | value (95 % interval) | beside | bar | |", "|---|---|---|---|---|")


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of a table.

    Parameters
    ----------
    path : names that lead to the figure within the metrics of a card, joined by "/".
    low, high : bounds that the figure shall keep; None where there is none.
    beside : path of a published or human figure, "" where there is none.
    """

    title: str
    path: str
    low: float | None = None
    high: float | None = None
    beside: str = ""

    def is_kept(self, figures: Mapping[str, Any]) -> bool:
        """Whether the figure is known and within the bounds."""
        value = figure_at(figures, self.path).get("value")
        if value is None:
            return False
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def wording(self) -> str:
        """The bounds in words."""
        if self.low is not None and self.high is not None:
            return f"{self.low} to {self.high}"
        return f">= {self.low}" if self.low is not None else f"<= {self.high}"

    def line(self, figures: Mapping[str, Any]) -> str:
        """One row of the table."""
        beside = wording(figure_at(figures, self.beside)) if self.beside else ""
        found = wording(figure_at(figures, self.path))
        kept = "reached" if self.is_kept(figures) else "missed"
        return f"| {self.title} | {found} | {beside} | {self.wording()} | {kept} |"


def table(bars: Sequence[Bar], figures: Mapping[str, Any]) -> list[str]:
    """The table in markdown."""
    return [*HEAD, *(bar.line(figures) for bar in bars)]


def figure_at(figures: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """The figure at a path of names, a bare number as its value; empty where the card has none."""
    found: Any = figures
    for name in path.split("/"):
        found = found.get(name, {}) if isinstance(found, Mapping) else {}
    if isinstance(found, int | float):
        return {"value": found}
    return found if isinstance(found, Mapping) else {}
