"""From path lengths to outlines."""

import numpy as np

from models.ct import PARTS
from models.silhouette import BELOW_DOME_MM, hemidiaphragm, mediastinum, silhouettes
from models.structures.anatomy import STRUCTURES


def test_a_lung_behind_the_dome_is_not_outlined() -> None:
    paths = np.zeros((len(PARTS), 80, 80), np.float32)
    paths[PARTS.index("right_lung"), 10:60, 10:35] = 80.0
    paths[PARTS.index("abdomen"), 50:75, 5:75] = 100.0
    lung = silhouettes(paths, 2.0)[STRUCTURES.index("right_lung")]
    assert lung[20:45, 15:30].all()
    assert not lung[54:].any()


def test_the_hemidiaphragm_follows_the_lower_border() -> None:
    lung = np.zeros((60, 60), bool)
    lung[5:40, 10:30] = True
    band = hemidiaphragm(lung, 2.0)
    rows, columns = np.nonzero(band)
    assert (rows.min() + rows.max() + 1) / 2 == 40
    assert rows.max() + 1 - rows.min() in (4, 6)
    assert (columns.min(), columns.max()) == (10, 29)


def test_the_mediastinum_is_filled_in_every_row_and_ends_above_the_hearts_lowest_point() -> None:
    seen = {part: np.zeros((60, 60), bool) for part in PARTS}
    seen["heart"][30:50, 15:45] = True
    seen["aorta"][10:58, 32:38] = True
    seen["superior_vena_cava"][14:30, 22:25] = True
    seen["vessels"][25:35, 5:55] = True
    whole = mediastinum(seen, 2.0)
    rows = np.flatnonzero(whole.any(axis=1))
    assert (rows[0], rows[-1]) == (10, 49 - BELOW_DOME_MM / 2.0)
    assert not whole[:, :15].any()
    assert whole[20, 22:38].all()
    assert not mediastinum({p: np.zeros((9, 9), bool) for p in PARTS}, 2.0).any()
