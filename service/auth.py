"""Who is asking: passwords, sessions for browsers, tokens for programs, and the brakes on guessing.

A session and a token are the same kind of signed statement (JWT, HS256) with different audiences,
so that one can never be used as the other. Both carry a fingerprint of the password hash: a new
password, a disabled user or a deleted one ends them at once.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from starlette.requests import HTTPConnection

from service.errors import (
    NotAllowedError,
    NotAuthenticatedError,
    NotFoundError,
    OutOfResourcesError,
    TooOftenError,
    UsageError,
)
from service.records import AuditEvent, Role, User
from service.settings import Settings
from service.store.index import Index

COOKIE = "carina_session"
TOKEN_MINUTES = 30
SHORTEST_PASSWORD = 10  # NIST SP 800-63B asks for 8 at least
LONGEST_PASSWORD = 1024  # hashing a longer one is work for an attacker's benefit
LONGEST_WAIT_S = 5.0  # for a place to hash a password in
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
ALGORITHM = "HS256"
SECRET_NAME = "session-secret"  # noqa: S105  # the name of the file, not the secret

Audience = Literal["session", "api"]

# OWASP Password Storage Cheat Sheet: 19 MiB, two passes, one lane.
HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def hash_password(password: str) -> str:
    """Argon2id hash of a password.

    Raises
    ------
    UsageError : shorter than `SHORTEST_PASSWORD` or longer than `LONGEST_PASSWORD` characters.
    """
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise UsageError(
            f"expected a password of {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters, "
            f"found {len(password)}; choose another"
        )
    return HASHER.hash(password)


def new_user(username: str, password: str, role: Role, at: datetime) -> User:
    """Make the record of a user who can log in.

    Raises
    ------
    UsageError : the name is empty, too long or has blanks or control characters in it, or the
        password is too short or too long.
    """
    if not 1 <= len(username) <= 64 or not all(c.isprintable() and c != " " for c in username):
        raise UsageError(
            "expected a user name of 1 to 64 visible characters without blanks; choose another"
        )
    return User(username, role, hash_password(password), at)


def session_secret(settings: Settings) -> bytes:
    """The key that signs sessions: from the settings, else made once under `data_dir`, mode 0600.

    Raises
    ------
    UsageError : the key is shorter than 32 bytes.
    """
    if settings.session_secret is not None:
        key = settings.session_secret.get_secret_value().encode()
    else:
        key = _kept_secret(settings.data_dir / SECRET_NAME)
    if len(key) < 32:  # RFC 7518 3.2: a key of the hash's size or larger
        raise UsageError(
            f"expected a session secret of 32 bytes or more, found {len(key)}; "
            "set CARINA_SESSION_SECRET to a longer one or delete the file to have it made again"
        )
    return key


def _kept_secret(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_hex(32).encode())
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):  # several processes start at once: the first one's key stays
        os.link(part, path)
    part.unlink()
    return path.read_bytes()


def require_same_origin(method: str, headers: Mapping[str, str]) -> None:
    """Refuse a write that another site made the browser send with our cookie in it.

    Browsers say where a request comes from: `Sec-Fetch-Site` over HTTPS, `Origin` on every write.

    Raises
    ------
    NotAllowedError : the write comes from elsewhere, or nothing says where it comes from.
    """
    if method in SAFE_METHODS:
        return
    site = headers.get("sec-fetch-site")
    if site is not None:
        same = site == "same-origin"
    else:
        origin = headers.get("origin", "")
        same = bool(origin) and urlsplit(origin).netloc == headers.get("host", "")
    if not same:
        raise NotAllowedError(
            "expected a write from a page of this server, found one from elsewhere or without "
            "an Origin; programs send a bearer token instead of the cookie"
        )


class Throttle:
    """Counts failed logins per user and address, per address and per user in a sliding window.

    Parameters
    ----------
    window_s : how long a failure counts.
    now : a clock that never goes back, seconds.
    """

    PAIR, ADDRESS, USER = 5, 30, 30
    MOST_KEYS = 10_000

    def __init__(self, window_s: float = 300.0, now: Callable[[], float] = time.monotonic) -> None:
        self._window_s = window_s
        self._now = now
        self._failures: dict[tuple[str, ...], deque[float]] = {}
        self._lock = threading.Lock()

    def attempt(self, username: str, address: str) -> None:
        """Count an attempt as failed until it `succeeded`, so that parallel ones count too.

        Raises
        ------
        TooOftenError : too many attempts failed lately; this one does not count.
        """
        keys = self._keys(username, address)
        with self._lock:
            wait_s = max(self._wait_s(key, bound) for key, bound in keys)
            if wait_s > 0:
                raise TooOftenError(f"too many failed logins; wait {wait_s:.0f} s before the next")
            if len(self._failures) > self.MOST_KEYS:
                self._forget_old()
            for key, bound in keys:
                self._failures.setdefault(key, deque(maxlen=bound)).append(self._now())

    def succeeded(self, username: str, address: str) -> None:
        """Forget this pair's failures; user and address keep theirs, less this attempt."""
        with self._lock:
            for key, _ in self._keys(username, address):
                failures = self._failures.get(key)
                if failures:
                    failures.pop()
                if not failures or key[0] == "pair":
                    self._failures.pop(key, None)

    def _keys(self, username: str, address: str) -> tuple[tuple[tuple[str, ...], int], ...]:
        return (
            (("pair", username, address), self.PAIR),
            (("address", address), self.ADDRESS),
            (("user", username), self.USER),
        )

    def _wait_s(self, key: tuple[str, ...], bound: int) -> float:
        """Until the oldest of the last `bound` failures leaves the window."""
        failures = self._failures.get(key)
        if failures is None or len(failures) < bound:
            return 0.0
        return failures[0] + self._window_s - self._now()

    def _forget_old(self) -> None:
        oldest = self._now() - self._window_s
        self._failures = {k: times for k, times in self._failures.items() if times[-1] > oldest}
        if len(self._failures) > self.MOST_KEYS:  # a flood of names: keep the newest half
            newest = sorted(self._failures, key=lambda k: self._failures[k][-1])
            self._failures = {k: self._failures[k] for k in newest[self.MOST_KEYS // 2 :]}


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token and how long it lasts."""

    value: str
    expires_in_s: int


class Auth:
    """Logs users in and tells who sent a request.

    Parameters
    ----------
    index : where the users are and the audit goes.
    clock : the present moment, timezone-aware UTC.
    """

    def __init__(
        self,
        index: Index,
        settings: Settings,
        clock: Callable[[], datetime],
        throttle: Throttle | None = None,
    ) -> None:
        self._index = index
        self._clock = clock
        self._settings = settings
        self._key = OctKey.import_key(session_secret(settings))
        self._throttle = throttle or Throttle()
        self._hashing = threading.BoundedSemaphore(2)  # each check takes 19 MiB and a core
        self._nobody = _hash_of_nobody()

    def log_in(self, username: str, password: str, address: str, how: str = "session") -> User:
        """Check a password; audit the attempt.

        An unknown user costs the same time as a wrong password and gets the same answer.

        Raises
        ------
        NotAuthenticatedError : no such user, a disabled one or a wrong password.
        TooOftenError : too many failures of this user or address lately.
        """
        shown = "".join(c for c in username if c.isprintable())[:64]
        self._throttle.attempt(shown, address)
        user = self._known(username)
        right = self._matches(user.password_hash if user else self._nobody, password)
        succeeded = right and user is not None and not user.disabled
        self._index.add_audit(_login_event(shown, self._clock(), address, succeeded, how))
        if not succeeded or user is None:
            raise NotAuthenticatedError("user name or password is wrong")
        self._throttle.succeeded(shown, address)
        return self._rehashed(user, password)

    def session(self, user: User) -> str:
        """The value of a session cookie."""
        return self._sign(user, "session", self._settings.session_hours * 3600)

    def token(self, user: User) -> Token:
        """A bearer token for programs."""
        return Token(self._sign(user, "api", TOKEN_MINUTES * 60), TOKEN_MINUTES * 60)

    def cookie(self, user: User) -> dict[str, Any]:
        """What `Response.set_cookie` needs to log a browser in."""
        return {
            "key": COOKIE,
            "value": self.session(user),
            "max_age": self._settings.session_hours * 3600,
            **self.cookie_form(),
        }

    def cookie_form(self) -> dict[str, Any]:
        """What `Response.delete_cookie` needs beside the name."""
        return {
            "path": "/",
            "httponly": True,
            "samesite": "lax",
            "secure": self._settings.secure_cookies,
        }

    def identify(self, connection: HTTPConnection) -> User:
        """Who sent a request, by bearer token or by session cookie.

        A write that carries only the cookie must come from one of our own pages.

        Raises
        ------
        NotAuthenticatedError : neither is there, or it is not valid (any more).
        NotAllowedError : a write with the cookie from another site.
        """
        scheme, _, value = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._holder(value.strip(), "api")
        cookie = connection.cookies.get(COOKIE)
        if not cookie:
            raise NotAuthenticatedError("log in first, or send a bearer token")
        require_same_origin(connection.scope.get("method", "GET"), connection.headers)
        return self._holder(cookie, "session")

    def _known(self, username: str) -> User | None:
        if not 1 <= len(username) <= 64 or not username.isprintable():
            return None
        try:
            return self._index.user(username)
        except NotFoundError:
            return None

    def _matches(self, password_hash: str, password: str) -> bool:
        if len(password) > LONGEST_PASSWORD:
            return False
        if not self._hashing.acquire(timeout=LONGEST_WAIT_S):
            raise OutOfResourcesError("too many logins at once; try again in some seconds")
        try:
            return HASHER.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False
        finally:
            self._hashing.release()

    def _rehashed(self, user: User, password: str) -> User:
        """The user with a hash of today's strength."""
        if not HASHER.check_needs_rehash(user.password_hash):
            return user
        stronger = replace(user, password_hash=HASHER.hash(password))
        self._index.set_user(stronger)
        return stronger

    def _sign(self, user: User, audience: Audience, seconds: int) -> str:
        now = int(self._clock().timestamp())
        claims: dict[str, Any] = {
            "sub": user.username,
            "aud": audience,
            "iat": now,
            "exp": now + seconds,
            "pwd": _fingerprint(user),
        }
        return jwt.encode({"alg": ALGORITHM}, claims, self._key, algorithms=[ALGORITHM])

    def _holder(self, value: str, audience: Audience) -> User:
        registry = jwt.JWTClaimsRegistry(
            now=lambda: int(self._clock().timestamp()),
            sub={"essential": True},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            pwd={"essential": True},
        )
        refused = NotAuthenticatedError("the login is not valid or has ended; log in again")
        try:
            claims = jwt.decode(value, self._key, algorithms=[ALGORITHM]).claims
            registry.validate(claims)
        except (JoseError, ValueError):
            raise refused from None
        user = self._known(str(claims["sub"]))
        if user is None or user.disabled or claims["pwd"] != _fingerprint(user):
            raise refused
        return user


@cache
def _hash_of_nobody() -> str:
    """What an unknown user's password is checked against: as costly as a real one, never right."""
    return HASHER.hash(secrets.token_hex(32))


def _login_event(
    username: str, at: datetime, address: str, succeeded: bool, how: str
) -> AuditEvent:
    return AuditEvent(
        at=at,
        actor=username,
        action="login" if succeeded else "login-failed",
        outcome="success" if succeeded else "failure",
        address=address,
        detail=how,
    )


def _fingerprint(user: User) -> str:
    return hashlib.sha256(user.password_hash.encode()).hexdigest()[:16]


def address_of(connection: HTTPConnection) -> str:
    """The network address that a request came from; "" where the server does not say."""
    return connection.client.host if connection.client else ""
