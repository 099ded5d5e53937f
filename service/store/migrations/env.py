"""Alembic runs this; the connection, with its transaction and lock, comes from `Index.migrate`."""

from alembic import context

from service.store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
)
context.run_migrations()
