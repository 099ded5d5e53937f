"""The risk models that this service answers from: those that ship, or a hospital's own."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from service.errors import UsageError
from service.settings import Settings

if TYPE_CHECKING:  # the science is loaded by whoever answers
    from risk.additive import Table

Name = Literal["ventilation", "outpatient"]
NAMES: tuple[Name, ...] = ("ventilation", "outpatient")


def own_path(name: Name, settings: Settings) -> str:
    """The path of the hospital's own model, "" where the shipped one is served."""
    return settings.ventilation_model if name == "ventilation" else settings.outpatient_model


def table(name: Name, settings: Settings) -> Table:
    """The model that is served, read once per process.

    Raises
    ------
    UsageError : the setting names a file that is no such model; the message says why.
    """
    from risk import additive  # noqa: PLC0415

    path = own_path(name, settings)
    return _own(name, path) if path else additive.shipped(name)


@cache
def _own(name: Name, path: str) -> Table:
    from risk import additive, local  # noqa: PLC0415

    try:
        return local.read(name, Path(path))
    except additive.TableError as error:
        raise UsageError(
            f"CARINA_{name.upper()}_MODEL: {error}, or unset it to serve the shipped model"
        ) from error


def check(settings: Settings) -> None:
    """Read the models of one's own at start, so that a wrong file ends the start.

    Raises
    ------
    UsageError : as `table`.
    """
    for name in NAMES:
        if own_path(name, settings):
            table(name, settings)
