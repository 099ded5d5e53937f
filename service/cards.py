"""The model cards of what this service answers from, as they lie beside the weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from service import coefficients
from service.settings import Settings

FOLDERS = (
    ("models", "severity/weights/card.json"),
    ("models", "structures/weights/card.json"),
    ("registration", "weights/card.json"),
    ("risk", "weights/ventilation.json"),
    ("risk", "weights/outpatient.json"),
)


@dataclass(frozen=True, slots=True)
class ServedCard:
    """A model card; `own` where the hospital set a model of its own in the shipped one's place."""

    raw: Mapping[str, Any]
    own: bool = False

    @property
    def name(self) -> str:
        """Which model it is of."""
        return str(self.raw.get("name", ""))


def shipped() -> tuple[ServedCard, ...]:
    """The cards of all models that are installed; a model without a card is left out."""
    found = (_read(files(package).joinpath(*path.split("/"))) for package, path in FOLDERS)
    return tuple(ServedCard(raw) for raw in found if raw is not None)


def served(settings: Settings) -> tuple[ServedCard, ...]:
    """The cards of what this service answers from: a hospital's own models in their place."""
    own: dict[str, ServedCard] = {
        name: ServedCard(coefficients.table(name, settings).card, own=True)
        for name in coefficients.NAMES
        if coefficients.own_path(name, settings)
    }
    return tuple(own.get(one.name, one) for one in shipped())


def _read(path: Traversable) -> Mapping[str, Any] | None:
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    card: Mapping[str, Any] = raw.get("card", raw)
    return card
