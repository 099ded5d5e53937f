"""What every test may use: the research data when it is at hand, and quiet third parties."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The research data beside the clone; tests that need it are left out without it."""
    folder = Path(os.environ.get("CARINA_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "radiographs.csv").is_file():
        pytest.skip("left out: the research data (shared/data) is not beside this clone")
    return folder
