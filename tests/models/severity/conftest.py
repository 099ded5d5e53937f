"""A small folder laid out like the research data, of drawn films."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from models import phantom

LETTERS = "ABCDEF"


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out like the research data, of drawn films: 12 scored, 12 normal."""
    root = tmp_path_factory.mktemp("data")
    rows = []
    for at in range(24):
        nih = at >= 12
        drawn = phantom.draw(at, 0.0 if nih else float(at % 6), size=256)
        name = f"radiographs/{at}.png"
        (root / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.rint(drawn.pixels * 255).astype(np.uint8)).save(root / name)
        row: dict[str, object] = {"file": name, "original": f"{at}.png", "view": "PA"}
        row |= {"source": "nih" if nih else "cohen", "patient": f"P{at // 2}", "licence": "none"}
        row |= {"finding": "No Finding" if nih else "COVID-19", "day": float(at % 2)}
        row["geographic_0_8"] = math.nan if nih or at % 3 == 0 else drawn.extent
        for zone, letter in enumerate(LETTERS):
            known = not nih and at % 4 != 1
            for reader in "SJ":
                row[f"brixia_{reader}_{letter}"] = drawn.zones[zone] if known else math.nan
        row["brixia_S_Global"] = math.nan
        rows.append(row)
    pd.DataFrame(rows).to_csv(root / "radiographs.csv", index=False)
    return root
