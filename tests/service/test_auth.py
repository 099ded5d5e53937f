"""Passwords, sessions, tokens, the brakes on guessing, and writes from elsewhere."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey
from pydantic import SecretStr
from starlette.requests import Request

from service.auth import (
    COOKIE,
    LONGEST_PASSWORD,
    TOKEN_MINUTES,
    Auth,
    Throttle,
    hash_password,
    new_user,
    require_same_origin,
    session_secret,
)
from service.errors import NotAllowedError, NotAuthenticatedError, TooOftenError, UsageError
from service.records import Role, User
from service.settings import Settings
from service.store.index import Index

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
PASSWORD = "correct horse battery"


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        return self.now.timestamp()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    made = Index(f"sqlite:///{tmp_path / 'i.sqlite'}")
    made.migrate()
    made.add_user(new_user("ward", PASSWORD, Role.CLINICIAN, NOW))
    yield made
    made.close()


@pytest.fixture
def auth(index: Index, tmp_path: Path, clock: Clock) -> Auth:
    throttle = Throttle(now=clock.seconds)
    return Auth(index, Settings(data_dir=tmp_path), clock, throttle)


def request(method: str = "GET", path: str = "/", **headers: str) -> Request:
    raw = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    return Request({"type": "http", "method": method, "path": path, "headers": raw})


def test_the_right_password_lets_in_and_is_audited(auth: Auth, index: Index) -> None:
    assert auth.log_in("ward", PASSWORD, "10.0.0.1").role is Role.CLINICIAN
    (event,) = index.audits()
    assert (event.actor, event.action, event.outcome) == ("ward", "login", "success")
    assert event.address == "10.0.0.1"


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("ward", "wrong password here"),
        ("nobody", PASSWORD),
        ("", ""),
        ("ward\x00", PASSWORD),
        ("ward", "x" * (LONGEST_PASSWORD + 1)),
        ("w" * 5000, PASSWORD),
    ],
)
def test_whatever_is_wrong_gets_the_same_answer(
    auth: Auth, index: Index, name: str, password: str
) -> None:
    with pytest.raises(NotAuthenticatedError, match="user name or password is wrong"):
        auth.log_in(name, password, "10.0.0.1")
    (event,) = index.audits()
    assert (event.action, event.outcome) == ("login-failed", "failure")


def test_an_unknown_user_costs_one_password_check_like_a_known_one(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    check = auth._matches
    monkeypatch.setattr(
        auth, "_matches", lambda kept, password: checked.append(kept) or check(kept, password)
    )
    for name in ("ward", "nobody"):
        with pytest.raises(NotAuthenticatedError):
            auth.log_in(name, "wrong password here", "a")
    known, unknown = checked
    assert known.rsplit("$", 2)[0] == unknown.rsplit("$", 2)[0]  # same algorithm, same cost


def test_a_disabled_user_stays_outside(auth: Auth, index: Index) -> None:
    session = auth.session(index.user("ward"))
    index.set_user(replace(index.user("ward"), disabled=True))
    with pytest.raises(NotAuthenticatedError):
        auth.log_in("ward", PASSWORD, "a")
    with pytest.raises(NotAuthenticatedError):
        auth.identify(request(cookie=f"{COOKIE}={session}"))


def test_guessing_is_stopped_per_user_and_address_and_goes_on_after_a_while(
    auth: Auth, clock: Clock
) -> None:
    for _ in range(Throttle.PAIR):
        with pytest.raises(NotAuthenticatedError):
            auth.log_in("ward", "wrong password here", "10.0.0.1")
    with pytest.raises(TooOftenError, match="wait"):
        auth.log_in("ward", PASSWORD, "10.0.0.1")
    assert auth.log_in("ward", PASSWORD, "10.0.0.2").username == "ward"
    clock.now += timedelta(minutes=6)
    assert auth.log_in("ward", PASSWORD, "10.0.0.1").username == "ward"


def test_one_address_cannot_try_many_names() -> None:
    throttle = Throttle(now=lambda: 0.0)
    for n in range(Throttle.ADDRESS):
        throttle.attempt(f"user{n}", "10.0.0.1")
    with pytest.raises(TooOftenError):
        throttle.attempt("another", "10.0.0.1")
    throttle.attempt("another", "10.0.0.2")


def test_many_addresses_cannot_try_one_name() -> None:
    throttle = Throttle(now=lambda: 0.0)
    for n in range(Throttle.USER):
        throttle.attempt("ward", f"10.0.0.{n}")
    with pytest.raises(TooOftenError):
        throttle.attempt("ward", "10.9.9.9")


def test_those_who_log_in_rightly_are_never_stopped() -> None:
    throttle = Throttle(now=lambda: 0.0)
    for _ in range(200):
        throttle.attempt("ward", "10.0.0.1")
        throttle.succeeded("ward", "10.0.0.1")
    assert not throttle._failures


def test_guesses_at_the_same_time_count_like_guesses_in_a_row() -> None:
    throttle = Throttle(now=lambda: 0.0)

    def guess(_: int) -> bool:
        try:
            throttle.attempt("ward", "10.0.0.1")
        except TooOftenError:
            return False
        return True

    with ThreadPoolExecutor(20) as crowd:
        assert sum(crowd.map(guess, range(200))) == Throttle.PAIR


def test_a_flood_of_names_does_not_fill_the_memory() -> None:
    throttle = Throttle(now=lambda: 0.0)
    for n in range(Throttle.MOST_KEYS):
        throttle.attempt(f"user{n}", f"address{n}")
    assert len(throttle._failures) <= Throttle.MOST_KEYS + 3


def test_a_session_is_no_token_and_a_token_is_no_session(auth: Auth, index: Index) -> None:
    user = index.user("ward")
    assert auth.identify(request(authorization=f"Bearer {auth.token(user).value}")) == user
    assert auth.identify(request(cookie=f"{COOKIE}={auth.session(user)}")) == user
    for wrong in (
        request(authorization=f"Bearer {auth.session(user)}"),
        request(cookie=f"{COOKIE}={auth.token(user).value}"),
    ):
        with pytest.raises(NotAuthenticatedError):
            auth.identify(wrong)


def test_logins_end(auth: Auth, index: Index, clock: Clock) -> None:
    token, session = auth.token(index.user("ward")), auth.session(index.user("ward"))
    clock.now += timedelta(minutes=TOKEN_MINUTES, seconds=1)
    with pytest.raises(NotAuthenticatedError):
        auth.identify(request(authorization=f"Bearer {token.value}"))
    assert auth.identify(request(cookie=f"{COOKIE}={session}")).username == "ward"
    clock.now += timedelta(hours=12)
    with pytest.raises(NotAuthenticatedError):
        auth.identify(request(cookie=f"{COOKIE}={session}"))


def test_a_new_password_ends_the_sessions_of_the_old_one(auth: Auth, index: Index) -> None:
    session = auth.session(index.user("ward"))
    changed = replace(index.user("ward"), password_hash=hash_password("another long password"))
    index.set_user(changed)
    with pytest.raises(NotAuthenticatedError):
        auth.identify(request(cookie=f"{COOKIE}={session}"))


def forged(key: bytes, algorithm: str = "HS256", **claims: Any) -> str:
    body = {"sub": "ward", "aud": "api", "exp": 2**40, "pwd": "0" * 16, **claims}
    return jwt.encode({"alg": algorithm}, body, OctKey.import_key(key), algorithms=[algorithm])


def test_statements_that_others_signed_do_not_count(auth: Auth, tmp_path: Path) -> None:
    kept = session_secret(Settings(data_dir=tmp_path))
    unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ3YXJkIiwiYXVkIjoiYXBpIn0."
    for token in (forged(b"x" * 32), forged(kept, "HS512"), forged(kept), unsigned, "", "a.b.c"):
        with pytest.raises(NotAuthenticatedError):
            auth.identify(request(authorization=f"Bearer {token}"))


@given(st.text(max_size=60))
def test_no_text_is_a_login(text: str) -> None:
    assert ANYBODY is not None
    value = text.encode("utf-8", "replace").decode("latin-1")
    with pytest.raises(NotAuthenticatedError):
        ANYBODY._holder(value, "api")


class _NoIndex:
    def user(self, username: str) -> User:
        raise AssertionError("an unsigned name must not reach the index")


ANYBODY: Auth = Auth(
    _NoIndex(),  # type: ignore[arg-type]
    Settings(session_secret=SecretStr("s" * 32)),
    lambda: NOW,
)


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site", "origin": "http://ward", "host": "ward"}, False),
        ({"origin": "http://ward:8080", "host": "ward:8080"}, True),
        ({"origin": "http://evil:8080", "host": "ward:8080"}, False),
        ({"origin": "null", "host": "ward:8080"}, False),
        ({"host": "ward:8080"}, False),
        ({"origin": "", "host": ""}, False),
    ],
)
def test_a_write_with_the_cookie_must_come_from_our_own_pages(
    headers: dict[str, str], allowed: bool
) -> None:
    require_same_origin("GET", headers)
    if allowed:
        require_same_origin("POST", headers)
        return
    with pytest.raises(NotAllowedError):
        require_same_origin("POST", headers)


def test_a_bearer_token_writes_from_anywhere_and_a_cookie_does_not(
    auth: Auth, index: Index
) -> None:
    user = index.user("ward")
    token = f"Bearer {auth.token(user).value}"
    assert auth.identify(request("POST", authorization=token, origin="http://evil")) == user
    with pytest.raises(NotAllowedError):
        auth.identify(
            request("POST", cookie=f"{COOKIE}={auth.session(user)}", origin="http://evil")
        )


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(auth: Auth, index: Index) -> None:
    cookie = auth.cookie(index.user("ward"))
    assert cookie["httponly"] is True
    assert cookie["samesite"] == "lax"
    assert cookie["max_age"] == 12 * 3600


def test_the_secret_is_made_once_and_only_the_owner_reads_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "new")
    first = session_secret(settings)
    assert len(first) >= 32
    assert session_secret(settings) == first
    (file,) = (tmp_path / "new").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_short_secret_is_turned_down() -> None:
    with pytest.raises(UsageError, match="32 bytes"):
        session_secret(Settings(session_secret=SecretStr("short")))


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "x" * 65])
def test_user_names_are_visible_words(name: str) -> None:
    with pytest.raises(UsageError, match="user name"):
        new_user(name, PASSWORD, Role.ADMIN, NOW)


@pytest.mark.parametrize("password", ["", "too short", "x" * (LONGEST_PASSWORD + 1)])
def test_passwords_have_a_length(password: str) -> None:
    with pytest.raises(UsageError, match="characters"):
        hash_password(password)
