"""Unit, container files and alerts name commands, settings and metrics that there are."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from service import metrics
from service.__main__ import parser
from service.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
SETTING = re.compile(r"^#? ?(CARINA_[A-Z_]+)=(.*)$", re.MULTILINE)
KNOWN = {f"CARINA_{name.upper()}" for name in Settings.model_fields}


def unit() -> configparser.SectionProxy:
    found = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    found.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's own spelling
    found.read(DEPLOY / "carina.service")
    return found["Service"]


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found["services"]


def rules() -> list[dict[str, str]]:
    groups = yaml.safe_load((DEPLOY / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_the_unit_starts_a_command_that_there_is() -> None:
    program, *words = shlex.split(unit()["ExecStart"])
    assert Path(program).name == "carina"
    assert parser().parse_args(words).command == "serve"


def test_the_unit_has_no_more_rights_than_it_needs() -> None:
    held = unit()
    assert (held["User"], held["NoNewPrivileges"]) == ("carina", "yes")
    assert (held["ProtectSystem"], held["CapabilityBoundingSet"]) == ("strict", "")
    assert held["Environment"] == f"CARINA_DATA_DIR=/var/lib/{held['StateDirectory']}"


@pytest.mark.parametrize("name", ["carina.env", "carina.service", "Containerfile", "compose.yaml"])
def test_every_setting_that_is_named_exists(name: str) -> None:
    named = set(re.findall(r"\bCARINA_[A-Z_]+", (DEPLOY / name).read_text()))
    assert named <= KNOWN


def test_the_values_of_the_environment_file_are_accepted() -> None:
    given = dict(SETTING.findall((DEPLOY / "carina.env").read_text()))
    assert len(given) > 5
    values = {name.removeprefix("CARINA_").lower(): value for name, value in given.items()}
    lists = {name: json.loads(value) for name, value in values.items() if value.startswith("[")}
    assert Settings(**(values | lists)).dicom_port == 11112


def test_the_image_runs_a_command_that_there_is_as_nobody_in_particular() -> None:
    lines = (DEPLOY / "Containerfile").read_text().split("\n")
    last = {line.partition(" ")[0]: line.partition(" ")[2] for line in lines if line[:1].isupper()}
    assert json.loads(last["ENTRYPOINT"]) == ["carina"]
    assert parser().parse_args(json.loads(last["CMD"])).command == "serve"
    assert last["USER"] == "10001:10001"
    assert "HEALTHCHECK" in last


def test_the_image_is_built_from_files_that_there_are() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    listed = subprocess.run(
        ["git", "ls-files", "-s"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    modes = {line.split("\t")[1]: line[:6] for line in listed.stdout.splitlines()}
    for script in re.findall(r"\bscripts/\S+", text):
        assert modes[script] == "100755", script
    assert "-c constraints.txt ." in text
    assert {"constraints.txt", "pyproject.toml", "README.md"} <= modes.keys()
    versions = set(re.findall(r"^FROM \S+/python:(\d+\.\d+)-", text, re.MULTILINE))
    (version,) = versions
    assert (3, 11) <= tuple(map(int, version.split("."))) < (3, 14)  # as pyproject.toml wants
    left_out = (ROOT / ".dockerignore").read_text().split()
    assert {".venv", "**/node_modules"} <= set(left_out)  # else they would be copied in
    assert [name for name in modes if name.split("/")[0] in left_out] == []


@pytest.mark.parametrize("name", ["node", "worker"])
def test_the_composed_containers_run_real_commands_on_a_root_that_is_read_only(name: str) -> None:
    held = compose()[name]
    assert parser().parse_args(held["command"]).command in ("serve", "worker")
    assert held["read_only"] is True
    assert held["cap_drop"] == ["ALL"]
    assert held["security_opt"] == ["no-new-privileges:true"]


def test_the_health_check_asks_a_route_that_there_is() -> None:
    from service.api.health import routes

    asked = re.findall(r"127\.0\.0\.1:8080(/\w+)", (DEPLOY / "Containerfile").read_text())
    assert asked == ["/readyz"]
    assert "/readyz" in {route.path for route in routes.routes}  # type: ignore[attr-defined]


def test_every_metric_and_label_of_an_alert_exists() -> None:
    known: dict[str, set[str]] = {}
    for metric in metrics.METRICS:
        ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
        for end in ends.get(metric._type, ("",)):
            known[metric._name + end] = set(metric._labelnames)
    used = [
        (rule["alert"], name, labels)
        for rule in rules()
        for name, labels in re.findall(r"\b(carina_\w+)(?:\{([^}]*)\})?", rule["expr"])
    ]
    assert len({name for _, name, _ in used}) >= 9
    for alert, name, labels in used:
        assert name in known, alert
        assert set(re.findall(r"(\w+)=", labels)) <= known[name], alert
    assert list(text_string_to_metric_families(metrics.text().decode()))


def test_every_alert_is_explained_and_every_explained_alert_exists() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    explained = re.findall(r"^\| `(Carina\w+)` \|", text, re.MULTILINE)
    assert explained == [rule["alert"] for rule in rules()]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="left out: no systemd-analyze")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    text = (DEPLOY / "carina.service").read_text()
    there = tmp_path / "carina.service"
    there.write_text(text.replace("/opt/carina/bin/carina", shutil.which("true") or "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(there)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")


@pytest.mark.skipif(not shutil.which("promtool"), reason="left out: no promtool (prometheus)")
def test_prometheus_understands_the_alerts() -> None:
    subprocess.run(["promtool", "check", "rules", str(DEPLOY / "alerts.yaml")], check=True)
