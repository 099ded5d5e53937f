"""Which films are accepted, and with which word the others are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models import runtime
from models.phantom import draw
from models.quality import check
from models.quality.evaluate import share
from models.quality.kinds import KINDS, REFUSED, is_elsewhere
from models.quality.predict import FRAME_SIZE, WEIGHTS, Look, framed, look, verdict
from models.radiograph import Radiograph, read_file
from models.refusal import Refusal


def code_of(radiograph):
    try:
        check(radiograph)
    except Refusal as refusal:
        return refusal.code
    return "accepted"


@pytest.fixture(scope="module")
def chest():
    return draw(11, extent=2.0, size=512).radiograph()


def test_drawn_chest_films_of_any_severity_are_accepted():
    refused = [
        seed for seed in range(8)
        if code_of(draw(1000 + seed, extent=seed % 9, size=320).radiograph()) != "accepted"
    ]  # fmt: skip
    assert refused == []


def test_the_same_film_in_other_sizes_and_windows_is_accepted(chest):
    pixels = chest.pixels
    for changed in (
        pixels[::2, ::2],
        np.kron(pixels, np.ones((2, 2), np.float32)),
        pixels**1.4,
        0.2 + 0.6 * pixels,
        np.pad(pixels, 40),
        pixels[20:-20, 30:-10],
    ):
        assert code_of(Radiograph(changed.astype(np.float32))) == "accepted"


@pytest.mark.parametrize("quarters", [1, 3])
def test_a_film_that_lies_on_its_side_is_refused(chest, quarters):
    turned = np.ascontiguousarray(np.rot90(chest.pixels, quarters))
    assert code_of(Radiograph(turned)) == "unlike_training"


def test_a_negated_film_is_refused(chest):
    assert code_of(Radiograph(1 - chest.pixels)) == "unlike_training"


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_a_film_of_one_shade_is_blank(value):
    faint = np.random.default_rng(0).normal(value, 0.002, (400, 300)).clip(0, 1)
    assert code_of(Radiograph(faint.astype(np.float32))) == "blank"


def test_a_film_burned_over_is_refused(chest):
    for burned in (np.clip(6 * chest.pixels - 0.5, 0, 1), np.clip(6 * chest.pixels - 4.8, 0, 1)):
        assert code_of(Radiograph(burned.astype(np.float32))) == "burned_over"


def test_noise_texture_and_text_are_unlike_training():
    rng = np.random.default_rng(3)
    noise = rng.random((400, 400)).astype(np.float32)
    rows, columns = np.mgrid[:400, :400]
    stripes = (0.5 + 0.5 * np.sin(rows / 9.0)).astype(np.float32)
    ramp = ((rows + columns) / 800).astype(np.float32)
    for picture in (noise, stripes, ramp):
        assert code_of(Radiograph(picture)) in REFUSED


def test_a_small_film_is_too_small(chest):
    assert code_of(Radiograph(chest.pixels[:200, :200])) == "too_small"


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({"view": "LATERAL"}, "not_frontal"),
        ({"view": "OTHER"}, "not_frontal"),
        ({"body_part": "HIP"}, "not_chest"),
        ({"body_part": "LOWER LEG"}, "not_chest"),
        ({"body_part": "CHEST", "view": "AP"}, "accepted"),
        ({"body_part": "THORAX"}, "accepted"),
        ({"body_part": "PORTABLE 1 VIEW"}, "accepted"),
        ({"body_part": "CHEST ABDOMEN"}, "accepted"),
    ],
)
def test_tags_refuse_what_they_name_and_nothing_else(chest, tags, code):
    assert code_of(replace(chest, **tags)) == code


def test_a_tag_cannot_make_a_chest_of_another_picture():
    rng = np.random.default_rng(5)
    noise = Radiograph(rng.random((400, 400)).astype(np.float32), body_part="CHEST", view="PA")
    assert code_of(noise) in REFUSED


@pytest.mark.parametrize("word", ["", "CHEST", "Thorax", "TORAX AP", "RIBS", "XYZ", "WHOLE"])
def test_words_that_name_no_other_part_do_not_refuse(word):
    assert not is_elsewhere(word)


def test_a_verdict_names_the_likeliest_other_kind():
    assert verdict(Look((0.9, 0.05, 0.03, 0.02), 0.5, ""), 0.4) is None
    assert verdict(Look((0.3, 0.1, 0.5, 0.1), 0.5, ""), 0.4) == "not_chest"
    assert verdict(Look((0.9, 0.05, 0.03, 0.02), 1.2, ""), 0.4) == "unlike_training"


def test_a_look_adds_up_and_names_its_model(chest):
    seen = look(chest)
    assert sum(seen.probabilities) == pytest.approx(1.0, abs=1e-4)
    assert len(seen.probabilities) == len(KINDS) == len(REFUSED) + 1
    assert seen.model == runtime.read_card(WEIGHTS).label
    assert framed(chest.pixels).shape == (FRAME_SIZE, FRAME_SIZE)


def test_the_card_tells_what_becomes_of_each_sort_of_picture():
    card = runtime.read_card(WEIGHTS)
    assert card.metrics["frontal"]["refused, frontal film"]["share"] <= 0.01
    assert set(card.metrics["refused_by_sort"]) >= {"hip", "leg", "negated", "CT slice"}
    assert 0 < card.parameters["least_frontal"] <= 0.5


def test_a_share_has_an_exact_interval():
    # Clopper and Pearson: 0 of 10 lies within [0, 0.3085]
    assert share(0, 10) == {"n": 10, "share": 0.0, "low": 0.0, "high": 0.3085}
    assert share(5, 10)["low"] == pytest.approx(0.1871, abs=1e-4)


def test_hip_and_leg_are_refused_even_without_tags_and_the_chests_accepted(shared_data):
    for path in sorted((shared_data / "dicom").glob("*.dcm")):
        film = read_file(path)
        bare = code_of(Radiograph(film.pixels))
        if path.name.startswith("chest"):
            assert (code_of(film), bare) == ("accepted", "accepted"), path.name
        else:
            assert (code_of(film), bare) == ("not_chest", "not_chest"), path.name


def test_real_films_are_accepted_and_refused_when_they_stand_on_their_heads(shared_data):
    paths = sorted((shared_data / "radiographs" / "nih").glob("*"))[::40]
    films = [read_file(path) for path in paths]
    assert len(films) == 25
    assert sum(code_of(film) != "accepted" for film in films) <= 1
    turned = [Radiograph(np.ascontiguousarray(film.pixels[::-1, ::-1])) for film in films]
    assert sum(code_of(film) == "accepted" for film in turned) <= 1
