"""What is installed is ours alone, and what is promised is what there is."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, packages_distributions

import pytest

from tests.conftest import ROOT

TOP_LEVEL = ("models", "registration", "risk", "service")


@pytest.mark.parametrize("name", TOP_LEVEL)
def test_no_other_distribution_owns_our_top_level_names(name: str) -> None:
    assert set(packages_distributions().get(name, [])) <= {"carina"}


def test_the_console_script_is_the_only_entry_point() -> None:
    found = [(point.group, point.name) for point in distribution("carina").entry_points]
    assert found == [("console_scripts", "carina")]


def test_every_dependency_is_pinned_to_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        wanted += extra
    assert [
        line for line in wanted if not re.fullmatch(r"[\w.-]+(\[[\w,]+\])?==[\w.]+", line)
    ] == []


@pytest.mark.parametrize(
    "module",
    [
        "models.severity.predict",
        "models.structures.predict",
        "registration.predict",
        "risk.ventilation",
        "risk.outpatient",
        "service.app",
    ],
)
def test_serving_never_loads_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_no_weights_file_is_20_mb_or_larger_and_none_is_a_pickle() -> None:
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split("\n")
    large = [f for f in files if f and (ROOT / f).is_file() and (ROOT / f).stat().st_size >= 20e6]
    assert large == []
    assert [f for f in files if f.endswith((".pkl", ".pickle", ".pt", ".pth", ".joblib"))] == []


def test_every_command_and_option_is_documented() -> None:
    from service.__main__ import parser

    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert [name for name in _names(parser()) if name not in text] == []


def _names(top: object) -> list[str]:
    import argparse

    found: list[str] = []
    for action in top._actions:  # type: ignore[attr-defined]  # argparse has no public list
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                found += [f"{sub.prog}", *_names(sub)]
                assert name
        else:
            found += [option for option in action.option_strings if option not in ("-h", "--help")]
    return found
