"""The store contract on an SQLite file, for one process."""

from tenantry.storage.sqlite.lock import AlreadyOpen
from tenantry.storage.sqlite.store import SqliteStore

__all__ = ["AlreadyOpen", "SqliteStore"]
