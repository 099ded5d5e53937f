"""The projector on a patient made of simple bodies, whose path lengths are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="left out: projecting needs the extra [train]")

from models.ct import AIR_HU, PARTS, Chest, has, read_chest  # noqa: E402  # after the skip
from models.projection import Anatomy, Projector, Stance, bedside, render  # noqa: E402
from models.structures.anatomy import STRUCTURES  # noqa: E402

PLAIN = Anatomy((1.0, 1.0, 1.0), 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0.0)
STRAIGHT = Stance(1.0, (0.0, 0.0), (0.0, 0.0, 0.0), 1e6, False, 300.0, (0.0, 0.0))


def bit(part: str) -> np.uint32:
    return np.uint32(1 << PARTS.index(part))


@pytest.fixture(scope="module")
def chest() -> Chest:
    """A body of water, two lungs of air, a heart and a spine, in voxels of 5 mm."""
    z, y, x = np.meshgrid(*(np.arange(n) * 5.0 - 150.0 for n in (61, 61, 61)), indexing="ij")
    hu = np.full(x.shape, AIR_HU, np.float32)
    members = np.zeros(x.shape, np.uint32)
    hu[(np.abs(x) < 140) & (np.abs(y) < 100)] = 0.0
    for part, side in (("right_lung", -1), ("left_lung", 1)):
        lung = ((x - side * 65) / 50) ** 2 + (y / 60) ** 2 + (z / 90) ** 2 < 1
        hu[lung] = -850.0
        members[lung] = bit(part)
    heart = ((x - 10) / 45) ** 2 + ((y - 20) / 40) ** 2 + ((z + 40) / 40) ** 2 < 1
    hu[heart], members[heart] = 40.0, bit("heart")
    spine = (np.abs(x) < 15) & (np.abs(y + 80) < 15)
    hu[spine], members[spine] = 400.0, bit("thoracic_spine")
    return Chest(hu, members, (5.0, 5.0, 5.0), (30.0, 30.0, 30.0))


def test_path_lengths_are_those_of_the_bodies(chest: Chest) -> None:
    _, paths = Projector(chest).cast(PLAIN, STRAIGHT, 60)
    spine = paths[PARTS.index("thoracic_spine")]
    assert spine.max() == pytest.approx(30.0, abs=6.0)
    lung = paths[PARTS.index("right_lung")]
    assert lung.max() == pytest.approx(120.0, abs=8.0)


def test_water_attenuates_by_a_fiftieth_a_millimetre(chest: Chest) -> None:
    attenuation, _ = Projector(chest).cast(PLAIN, STRAIGHT, 60)
    assert attenuation[3, 30 + 18] == pytest.approx(0.02 * 200.0, rel=0.05)
    assert attenuation[:, 0].max() == pytest.approx(0.0, abs=1e-3)


def test_the_patients_right_lies_on_the_left_of_the_film(chest: Chest) -> None:
    _, paths = Projector(chest).cast(PLAIN, STRAIGHT, 60)
    columns = [
        np.nonzero(paths[PARTS.index(f"{s}_lung")] > 20)[1].mean() for s in ("right", "left")
    ]
    assert columns[0] < 30 < columns[1]


def test_a_near_source_in_front_enlarges_what_lies_behind(chest: Chest) -> None:
    projector = Projector(chest)
    back = replace(STRAIGHT, source_mm=800.0)
    front = replace(back, anterior=True)
    widths = [
        int((projector.cast(PLAIN, s, 120)[1][PARTS.index("heart")] > 5).any(0).sum())
        for s in (front, back)
    ]
    assert widths[0] > widths[1]  # the heart lies towards the source in AP, away from it in PA


def test_one_patient_twice_is_the_same_anatomy_on_another_film(chest: Chest) -> None:
    projector = Projector(chest)
    one = render(projector, 1, patient=7, extent=2.0, size=64)
    again = render(projector, 1, patient=7, extent=2.0, size=64)
    later = render(projector, 2, patient=7, extent=6.0, size=64)
    assert np.array_equal(one.pixels, again.pixels)
    assert not np.array_equal(one.pixels, later.pixels)
    assert later.extent == pytest.approx(6.0, abs=0.1)
    assert one.masks.shape == (len(STRUCTURES), 64, 64)


def test_a_bedside_film_is_taken_from_the_front() -> None:
    assert bedside(STRAIGHT).anterior


@pytest.fixture(scope="module")
def scanned(shared_data: Path) -> Chest:
    return read_chest(shared_data / "ct", step=4)


def test_every_part_of_the_scan_is_named(scanned: Chest) -> None:
    assert all(has(scanned.members, part).any() for part in PARTS)


def test_a_rendered_film_shows_dark_lungs_and_every_structure(scanned: Chest) -> None:
    stance = Stance(1.1, (0.0, 0.0), (0.0, 0.0, 0.0), 1800.0, False, 400.0, (10.0, 0.0))
    phantom = render(Projector(scanned), 3, size=128, stance=stance)
    assert phantom.masks.any(axis=(1, 2)).all()
    lungs = phantom.masks[:2].any(axis=0)
    spine = phantom.masks[STRUCTURES.index("thoracic_spine")] & ~lungs
    assert phantom.pixels[lungs].mean() < phantom.pixels[spine].mean()
    centres = [np.nonzero(mask)[1].mean() for mask in phantom.masks[:2]]
    assert centres[0] < centres[1]


def test_a_folder_without_a_scan_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"cxr\.nii\.gz"):
        read_chest(tmp_path)
