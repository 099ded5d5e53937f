"""Model cards in words: figures with their intervals, nothing made up."""

from __future__ import annotations

from service.dashboard import cards


def test_a_figure_is_written_with_its_interval() -> None:
    card = cards.card(
        {
            "name": "severity",
            "metrics": {
                "pearson_r": {"value": 0.881, "low": 0.85, "high": 0.91, "n": 374},
                "by set": {"mae": [0.9, 0.8, 1.0]},
                "n": 374,
            },
        }
    )
    assert [(f.name, f.value) for f in card.figures] == [
        ("pearson r", "0.881 (0.850 to 0.910, n = 374)"),
        ("by set, mae", "0.900 (0.800 to 1)"),
        ("n", "374"),
    ]


def test_a_card_without_figures_has_none() -> None:
    assert cards.card({"name": "new"}).figures == ()


def test_the_cards_that_ship_can_all_be_read() -> None:
    for card in cards.shipped():
        assert card.name
        assert len(card.sha256) == 64
        assert card.limits
