"""The store contract on an SQLite file. One process at a time may use it."""

from tenantry.storage.sqlite.lock import AlreadyOpen
from tenantry.storage.sqlite.store import SqliteStore

__all__ = ["AlreadyOpen", "SqliteStore"]
