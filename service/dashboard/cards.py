"""Model cards as the models page shows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from service import cards
from service.dashboard import figures
from service.settings import Settings

MOST_FIGURES = 60


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure: its name, and its value with the interval where there is one."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Card:
    """A model card in words."""

    name: str
    version: str
    sha256: str
    task: str
    input: str
    output: str
    data: tuple[str, ...]
    licence: str
    split: str
    limits: tuple[str, ...]
    command: str
    figures: tuple[Figure, ...]
    own: str = ""


def shipped() -> tuple[Card, ...]:
    """The cards of all models that are installed, in words."""
    return tuple(card(one.raw) for one in cards.shipped())


def served(settings: Settings) -> tuple[Card, ...]:
    """The cards of what this service answers from, in words."""
    return tuple(_told(one) for one in cards.served(settings))


def _told(one: cards.ServedCard) -> Card:
    told = card(one.raw)
    if not one.own:
        return told
    own = f"This hospital's own model, set by CARINA_{one.name.upper()}_MODEL."
    return replace(told, own=own)


def card(raw: Mapping[str, Any]) -> Card:
    """Put the fields of a `ModelCard` into words."""
    return Card(
        **{
            name: str(raw.get(name, ""))
            for name in ("name", "version", "sha256", "task", "input", "output")
        },
        data=tuple(map(str, raw.get("data", ()))),
        licence=str(raw.get("licence", "")),
        split=str(raw.get("split", "")),
        limits=tuple(map(str, raw.get("limits", ()))),
        command=str(raw.get("command", "")),
        figures=tuple(_figures("", raw.get("metrics", {})))[:MOST_FIGURES],
    )


def _figures(name: str, value: Any) -> Iterator[Figure]:
    """Flatten nested metrics; a value with low and high is one figure."""
    if isinstance(value, Mapping):
        whole = _with_interval(value)
        if whole is not None:
            yield Figure(name, whole)
            return
        for key, inner in value.items():
            spoken = str(key).replace("_", " ")
            yield from _figures(f"{name}, {spoken}" if name else spoken, inner)
    elif isinstance(value, bool) or value is None or isinstance(value, str):
        yield Figure(name, str(value))
    elif isinstance(value, int | float):
        yield Figure(name, _number(value))
    elif isinstance(value, list) and len(value) == 3 and all(_is_number(v) for v in value):
        yield Figure(name, f"{_number(value[0])} ({_number(value[1])} to {_number(value[2])})")
    elif isinstance(value, list) and len(value) == 2 and all(_is_number(v) for v in value):
        yield Figure(name, f"{_number(value[0])} to {_number(value[1])}")


def _with_interval(value: Mapping[str, Any]) -> str | None:
    low, high = value.get("low"), value.get("high")
    middle = next((value[k] for k in ("value", "estimate", "mean") if k in value), None)
    if middle is None or low is None or high is None:
        return None
    if not (_is_number(low) and _is_number(high) and _is_number(middle)):
        return None
    number = f", n = {value['n']}" if _is_number(value.get("n")) else ""
    return f"{_number(middle)} ({_number(low)} to {_number(high)}{number})"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: float) -> str:
    if isinstance(value, int) or float(value).is_integer():
        return figures.number(value, 0)
    return figures.number(value, 3)
