"""Refusals are coded, and survive the way between processes."""

from __future__ import annotations

import pickle

from models.refusal import REFUSAL_CODES, Refusal


def test_the_codes_are_those_of_the_contract() -> None:
    assert set(REFUSAL_CODES) == {
        "not_chest",
        "not_frontal",
        "undecodable",
        "truncated",
        "too_small",
        "blank",
        "burned_over",
        "unlike_training",
    }


def test_a_refusal_crosses_a_process_boundary_whole() -> None:
    refusal = Refusal("blank", "expected a film, found one grey value: send it again")
    again = pickle.loads(pickle.dumps(refusal))
    assert (again.code, again.message) == (refusal.code, refusal.message)
