"""`carina user`: what the pages do, on the machine itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.__main__ import main
from service.app import open_index
from service.settings import Settings


def user(folder: Path, *words: str) -> int:
    return main(["user", *words, "--data-dir", str(folder)])


def test_accounts_are_made_and_changed_and_each_act_is_audited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CARINA_PASSWORD", "long enough now")
    assert user(tmp_path, "add", "ada", "--role", "admin") == 0
    index = open_index(Settings(data_dir=tmp_path))
    first = index.user("ada").password_hash
    for words in (("password", "ada"), ("role", "ada", "researcher"), ("role", "ada", "admin")):
        assert user(tmp_path, *words) == 0
    assert user(tmp_path, "disable", "ada") == 0  # the last one: whoever is here can add another
    assert index.user("ada").disabled
    assert user(tmp_path, "enable", "ada") == 0
    capsys.readouterr()
    assert user(tmp_path, "list") == 0
    assert capsys.readouterr().out == "ada\tadmin\tactive\n"
    assert index.user("ada").password_hash != first
    acts = [(one.actor, one.action) for one in reversed(index.audits())]
    assert acts == [
        ("console", f"user-{act}")
        for act in ("add", "password", "role", "role", "disable", "enable")
    ]
    index.close()


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("role", "nobody", "admin"), 1),
        (("role", "nobody", "king"), 2),
        (("add", "with blank", "--role", "admin"), 2),
    ],
)
def test_what_cannot_be_is_told_by_the_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], status: int
) -> None:
    monkeypatch.setenv("CARINA_PASSWORD", "long enough now")
    assert user(tmp_path, *words) == status
