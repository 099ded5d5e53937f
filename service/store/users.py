"""Who can log in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from service.errors import ConflictError, NotFoundError
from service.records import AuditEvent, Role, User
from service.store import payloads
from service.store.database import Database
from service.store.journal import write_audit
from service.store.tables import USERS


class Users(Database):
    """Users by name; the password is only ever a hash here."""

    def add_user(self, user: User, audit: AuditEvent | None = None) -> None:
        """Add a user; a taken name raises ConflictError."""
        try:
            with self._write() as connection:
                connection.execute(insert(USERS).values(payloads.columns(user)))
                if audit is not None:
                    write_audit(connection, audit)
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

    def change_user(
        self,
        username: str,
        values: Mapping[str, Any],
        audits: Sequence[AuditEvent],
        *,
        keep_admin: bool = True,
    ) -> User:
        """Change some columns of a user, with the audit rows of it, in one transaction.

        Parameters
        ----------
        keep_admin : insist that an active administrator is left; two who take the role from
            each other at once wait for each other.

        Raises
        ------
        NotFoundError : there is no such user.
        ConflictError : no active administrator would be left; nothing is changed.
        """
        admins = select(USERS.c.username).where(
            USERS.c.role == Role.ADMIN.value, USERS.c.disabled.is_(False)
        )
        which = USERS.c.username == username
        with self._write() as connection:
            connection.execute(admins.with_for_update()).all()
            connection.execute(update(USERS).where(which).values(dict(values)))
            row = connection.execute(select(USERS).where(which)).mappings().first()
            if row is None:
                raise NotFoundError(f"no user named {username!r}; see `carina user list`")
            if keep_admin and connection.execute(admins).first() is None:
                raise ConflictError(
                    "expected an active administrator to be left, found none; "
                    "make somebody else administrator first"
                )
            for event in audits:
                write_audit(connection, event)
            return payloads.user(row)
