"""The one way in which a model says that it cannot answer."""

from __future__ import annotations

from typing import Literal, get_args

RefusalCode = Literal[
    "not_chest",
    "not_frontal",
    "undecodable",
    "truncated",
    "too_small",
    "blank",
    "burned_over",
    "unlike_training",
]
REFUSAL_CODES: tuple[RefusalCode, ...] = get_args(RefusalCode)


class Refusal(Exception):  # noqa: N818  # a refusal is an answer, the word of every docstring
    """A film that a model declines to score.

    Parameters
    ----------
    code : one of `REFUSAL_CODES`.
    message : what was expected, what was found, what to do. It never carries patient data.
    """

    def __init__(self, code: RefusalCode, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code: RefusalCode = code
        self.message = message

    def __reduce__(self) -> tuple[type[Refusal], tuple[RefusalCode, str]]:
        return Refusal, (self.code, self.message)  # survives a process pool
