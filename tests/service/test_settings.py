"""The settings are documented, each with its default, and wrong ones are told at start."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.__main__ import main
from service.settings import Settings

DOCS = Path(__file__).resolve().parents[2] / "docs"
ROWS = dict(
    re.findall(r"^\| `(CARINA_\w+)` \| (.*?) \|", (DOCS / "settings.md").read_text(), re.MULTILINE)
)


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_every_setting_is_documented_with_its_default(name: str) -> None:
    default = Settings.model_fields[name].default
    told = ROWS[f"CARINA_{name.upper()}"].strip("`")
    if default in ("", None):
        assert told == "empty"
    elif isinstance(default, tuple):
        assert tuple(json.loads(told)) == default
    else:
        assert told.lower() == str(default).lower()


def test_nothing_is_documented_that_is_no_setting() -> None:
    assert set(ROWS) == {f"CARINA_{name.upper()}" for name in Settings.model_fields}


def test_the_defaults_are_the_embedded_set_up(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert settings.index_url == f"sqlite:///{tmp_path / 'carina.sqlite'}"
    assert settings.jobs_url == f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    scaled = Settings(data_dir=tmp_path, database_url="postgresql://host/carina")
    assert scaled.index_url == scaled.jobs_url == "postgresql://host/carina"


def test_lists_are_json_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARINA_DESTINATIONS", '["PACS@10.0.0.7:104"]')
    assert Settings().destinations == ("PACS@10.0.0.7:104",)


@pytest.mark.parametrize(
    "address", ["https://", "https:///dicom-web", "http://:80/x", "https://h:70000/", "https://[h/",
                "ftp://host/x", "https://user:word@host/x", "https://host/x?y=1"],
)  # fmt: skip
def test_half_an_address_of_a_dicomweb_pacs_ends_the_start(address: str) -> None:
    with pytest.raises(ValidationError, match="priors_pacs") as told:
        Settings(priors_pacs=address)
    assert "word" not in str(told.value).replace(address, "")


@pytest.mark.parametrize("address", ["PACS@10.0.0.7:104", "https://pacs:8443/dicom-web"])
def test_a_pacs_has_one_of_two_forms(address: str) -> None:
    assert Settings(priors_pacs=f" {address} ").priors_pacs == address


@pytest.mark.parametrize(
    "wrong",
    [
        {"workers": -1},
        {"http_port": 70000},
        {"unknown": 1},
        {"dicomweb_origins": ("*",)},
        {"dicomweb_origins": ("https://viewer.hospital.example/",)},
    ],
)
def test_a_wrong_setting_ends_the_start(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("CARINA_MIN_FREE_DISK", "5", "CARINA_MIN_FREE_DISK_MB meant?"),
        ("CARINA_QQQ", "5", "found CARINA_QQQ; take it out"),
        ("CARINA_ALLOWED_AE_TITLES", "PACS1", "CARINA_ALLOWED_AE_TITLES as a list in JSON"),
        ("CARINA_ALLOWED_AE_TITLES", '["A_TITLE_TOO_LONG_TO_BE"]', "at most 16 characters"),
        ("CARINA_AE_TITLE", "a\\b", "CARINA_AE_TITLE"),
        ("CARINA_DATABASE_URL", "mysql://me:secret@host/x", "expected postgresql://"),
        ("CARINA_DATABASE_URL", "me:secret@host", "expected postgresql://"),
    ],
)
def test_a_wrong_variable_is_told_in_one_plain_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    told: str,
) -> None:
    monkeypatch.setenv(name, value)
    assert main(["retention", "--dry-run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert "secret" not in line


def test_what_kubernetes_says_of_a_service_named_carina_is_no_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CARINA_PORT_8080_TCP_ADDR", "10.0.0.1")
    monkeypatch.setenv("CARINA_SERVICE_HOST", "10.0.0.1")
    assert main(["retention", "--dry-run", "--data-dir", str(tmp_path)]) == 0
