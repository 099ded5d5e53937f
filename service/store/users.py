"""Who can log in."""

from __future__ import annotations

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from service.errors import ConflictError, NotFoundError
from service.records import User
from service.store import payloads
from service.store.database import Database
from service.store.tables import USERS


class Users(Database):
    """Users by name; the password is only ever a hash here."""

    def add_user(self, user: User) -> None:
        """Add a user; a taken name raises ConflictError."""
        try:
            with self._write() as connection:
                connection.execute(insert(USERS).values(payloads.columns(user)))
        except IntegrityError as error:
            raise ConflictError(
                f"expected a new user name, found that {user.username!r} exists; choose another"
            ) from error

    def user(self, username: str) -> User:
        """Give one user; NotFoundError where there is none."""
        with self._read() as connection:
            row = connection.execute(select(USERS).where(USERS.c.username == username)).mappings()
            found = row.first()
        if found is None:
            raise NotFoundError(f"no user named {username!r}; see `carina user list`")
        return payloads.user(found)

    def users(self) -> tuple[User, ...]:
        """Give all users by name."""
        with self._read() as connection:
            rows = connection.execute(select(USERS).order_by(USERS.c.username)).mappings()
            return tuple(payloads.user(row) for row in rows)

    def set_user(self, user: User) -> None:
        """Change role, password or access of a user that exists."""
        statement = update(USERS).where(USERS.c.username == user.username)
        with self._write() as connection:
            changed = connection.execute(statement.values(payloads.columns(user)))
        if changed.rowcount == 0:
            raise NotFoundError(f"no user named {user.username!r}; see `carina user list`")
