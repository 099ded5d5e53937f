"""Every code that can reach a page has words."""

from __future__ import annotations

from models.refusal import REFUSAL_CODES
from models.severity.zones import ZONES
from risk.features import VENTILATION
from service.dashboard import wording
from service.risk_record import RISK_BANDS, base_variable


def test_every_refusal_says_what_is_wrong_and_what_to_do() -> None:
    assert set(wording.REFUSALS) == set(REFUSAL_CODES)
    assert all(one.what.endswith(".") and one.do.endswith(".") for one in wording.REFUSALS.values())


def test_zones_and_bands_are_those_of_the_models() -> None:
    assert tuple(wording.ZONES) == ZONES
    assert set(wording.BANDS) == {name for name, _ in RISK_BANDS} | {"unknown"}


def test_every_input_of_the_ventilation_model_has_words() -> None:
    for variable in VENTILATION:
        assert base_variable(variable.name) in wording.VARIABLES, variable.name
