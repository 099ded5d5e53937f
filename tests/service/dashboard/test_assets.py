"""The built front end: found, small, or missed with a word that helps."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.dashboard.assets import BUILT, MANIFEST, Assets
from service.errors import UsageError
from service.records import RESEARCH_USE

FRONTEND = BUILT.parent.parent / "frontend"


def test_a_front_end_that_is_not_built_says_how_to_build_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="npm ci && npm run build"):
        Assets.load(tmp_path)


def test_a_build_that_is_not_whole_says_so(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("{}")
    with pytest.raises(UsageError, match=r"src/page\.ts"):
        Assets.load(tmp_path)


def scripts(source: str) -> Iterator[str]:
    """All modules that a page loads, each once."""
    manifest = json.loads((BUILT / MANIFEST).read_text())
    waiting, seen = [source, "src/page.ts"], set()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += manifest[name].get("imports", [])
            yield manifest[name]["file"]


@pytest.mark.parametrize(
    ("source", "most_kb"),
    [
        ("src/worklist.ts", 100),
        ("src/patient.ts", 100),
        ("src/study.ts", 300),
        ("src/review.ts", 300),
    ],
)
def test_the_scripts_of_a_page_stay_small(built: Assets, source: str, most_kb: int) -> None:
    sizes = [len(built.file(name).gzipped or b"") for name in scripts(source)]
    assert 0 < sum(sizes) < most_kb * 1000


def test_each_printed_sheet_carries_the_notice() -> None:
    styles = (FRONTEND / "src" / "styles" / "paper.css").read_text(encoding="utf-8")
    assert f'content: "{RESEARCH_USE}"' in styles


def test_packages_are_pinned_and_the_lock_names_no_host() -> None:
    package = json.loads((FRONTEND / "package.json").read_text())
    for version in {**package["dependencies"], **package["devDependencies"]}.values():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert "resolved" not in (FRONTEND / "package-lock.json").read_text()
