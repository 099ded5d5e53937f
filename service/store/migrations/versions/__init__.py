"""Versions of the tables, applied by `Index.migrate`."""
