"""The service answers from a hospital's own model, or does not start."""

from __future__ import annotations

from pathlib import Path

import pytest

from risk import additive
from risk.recalibrate import scaled
from service import app, coefficients
from service.dashboard import cards
from service.errors import UsageError
from service.jobs.risk import default_risk_models
from service.settings import Settings


def own_settings(folder: Path) -> Settings:
    """Settings that name a ventilation model of one's own."""
    own = scaled(additive.shipped("ventilation"), 1.0, 0.5)
    own.write(folder / "ventilation.json")
    return Settings(data_dir=folder, ventilation_model=str(folder / "ventilation.json"))


def test_without_a_setting_the_shipped_models_are_served(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    for name in coefficients.NAMES:
        assert coefficients.table(name, settings) is additive.shipped(name)
    assert cards.served(settings) == cards.shipped()


def test_a_model_of_ones_own_is_served_by_jobs_and_pages(tmp_path: Path) -> None:
    settings = own_settings(tmp_path)
    coefficients.check(settings)
    table = coefficients.table("ventilation", settings)
    assert table.label != additive.shipped("ventilation").label
    found = default_risk_models(table).predict({"spo2": 93.0})
    assert found.model == table.label
    shown = {card.name: card for card in cards.served(settings)}
    assert shown["ventilation"].version.endswith(".recalibrated") or shown["ventilation"].own
    assert "CARINA_VENTILATION_MODEL" in shown["ventilation"].own
    assert shown["ventilation"].sha256 == table.digest()
    assert not shown["outpatient"].own


@pytest.mark.parametrize("content", [None, "{}", "PAR1", '{"name": "outpatient"}'])
def test_a_file_that_is_no_model_ends_the_start_with_what_to_do(
    tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "model.json"
    if content is not None:
        path.write_text(content)
    settings = Settings(data_dir=tmp_path / "data", ventilation_model=str(path))
    with pytest.raises(UsageError, match=r"CARINA_VENTILATION_MODEL.*unset it"):
        app.build(settings, "all")
    assert not (tmp_path / "data").exists()


def test_the_model_of_the_other_name_is_refused(tmp_path: Path) -> None:
    path = own_settings(tmp_path).ventilation_model
    with pytest.raises(UsageError, match=r"CARINA_OUTPATIENT_MODEL: .*expected a model named outp"):
        coefficients.check(Settings(data_dir=tmp_path, outpatient_model=path))
