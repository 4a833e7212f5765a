"""The SQLite file: its schema, and how it is created, checked and opened.

log      every put and deletion (value NULL) since compaction; `id` = revision << 20 | place in the revision
current  the present state: key → its row in the log. Triggers on the log update it
leases   the leases that were granted; when the store is opened, each gets its full time to live again
meta     cell, compacted (the revision below which history was deleted)
"""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

from tenantry.storage.store import Damaged, Indeterminate, StoreError, Unavailable

STORE_FILE = "store.sqlite"
APPLICATION_ID = 0x74656E74  # "tent"
SCHEMA_VERSION = 1
MAGIC = b"SQLite format 3\0"

# A checkpoint costs two fsyncs. With this many pages (16 MiB) it is rare, and the log to be read after a crash is still small.
CHECKPOINT_PAGES = 4000
CACHE_KIBIBYTES = 16_384

SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE log (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL, value BLOB, created INTEGER NOT NULL, place INTEGER NOT NULL,
    previous INTEGER NOT NULL, lease INTEGER NOT NULL
);
CREATE TABLE current (key BLOB PRIMARY KEY, id INTEGER NOT NULL, created INTEGER NOT NULL, lease INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX leased ON current (lease) WHERE lease > 0;
CREATE TABLE leases (id INTEGER PRIMARY KEY AUTOINCREMENT, ttl_seconds REAL NOT NULL);
CREATE TRIGGER put AFTER INSERT ON log WHEN new.value IS NOT NULL BEGIN
    INSERT INTO current VALUES (new.key, new.id, new.created, new.lease)
    ON CONFLICT (key) DO UPDATE SET id = excluded.id, lease = excluded.lease;
END;
CREATE TRIGGER deletion AFTER INSERT ON log WHEN new.value IS NULL BEGIN
    DELETE FROM current WHERE key = new.key;
END;
"""


def translated(error: sqlite3.Error, path: Path | None = None) -> StoreError:
    """Converts an error of SQLite to one of the store contract. `path`: for the text, if known."""
    code = getattr(error, "sqlite_errorcode", 0)
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return Damaged(f"{path or 'the store'} is damaged: {error}; restore it from a backup")
    if code in (sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC):
        # The write may or may not survive a power failure.
        return Indeterminate(f"the disk did not confirm a write: {error} ({name})")
    if code & 0xFF == sqlite3.SQLITE_FULL:
        return Unavailable("the disk of the store is full; free some space")
    return Unavailable(f"the file of the store cannot be used now: {error} ({name})")


def create(directory: Path, cell: int) -> None:
    """Creates an empty store. The file has a temporary name until it is complete, so that a crash leaves no partial store."""
    path = directory / STORE_FILE
    unfinished = directory / f"{STORE_FILE}.new"
    if (directory / f"{STORE_FILE}-wal").exists():
        raise Damaged(f"{path} is missing while its write-ahead log is there; restore both from a backup")
    try:
        for leftover in directory.glob(f"{unfinished.name}*"):
            leftover.unlink()
        with _connected(unfinished, "rwc") as database:
            database.executescript(SCHEMA)
            database.execute("INSERT INTO meta VALUES ('cell', ?), ('compacted', 0)", (cell,))
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            database.execute("PRAGMA journal_mode = WAL")
        unfinished.chmod(0o600)
        unfinished.rename(path)
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except sqlite3.Error as error:
        raise translated(error) from error
    except OSError as error:
        full = error.errno == errno.ENOSPC
        text = "the disk of the store is full; free some space" if full else f"cannot create {path}: {error.strerror}"
        raise Unavailable(text) from error


def check(path: Path) -> None:
    """Checks that the file is a complete store of this version. Raises Damaged, Unavailable. It leaves the directory as it
    was."""
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise Damaged(f"{path} is not a store, or incomplete; restore it from a backup")
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}") from error
    missing = [sibling for end in ("-wal", "-shm") if not (sibling := path.with_name(path.name + end)).exists()]
    try:
        # After a crash there is a write-ahead log, and SQLite creates an index of it. Without a log, it changes nothing.
        crashed = path.with_name(f"{path.name}-wal").exists()
        with _connected(path, "ro" if crashed else "ro&immutable=1") as database:
            (application,) = database.execute("PRAGMA application_id").fetchone()
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if application != APPLICATION_ID:
                raise Damaged(f"{path} is an SQLite file, but not a store of tenantry")
            if version != SCHEMA_VERSION:
                raise Damaged(f"{path} has the schema of version {version}; this program reads version {SCHEMA_VERSION}")
            (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise Damaged(f"{path} is damaged ({found}); restore it from a backup")
    except sqlite3.Error as error:
        raise translated(error, path) from error
    finally:
        for made in missing:
            made.unlink(missing_ok=True)


def connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """Opens a connection for one thread. Raises Damaged, Unavailable."""
    try:
        database = _open(path, "rw")
        database.execute("PRAGMA synchronous = FULL")
        database.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        database.execute(f"PRAGMA cache_size = -{CACHE_KIBIBYTES}")
        database.execute("PRAGMA temp_store = MEMORY")
        if read_only:
            database.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        raise translated(error, path) from error
    return database


class _connected:
    """A context manager for a connection, which is closed at the end of the block."""

    def __init__(self, path: Path, mode: str) -> None:
        self._database = _open(path, mode)

    def __enter__(self) -> sqlite3.Connection:
        return self._database

    def __exit__(self, *_: object) -> None:
        self._database.close()


def _open(path: Path, mode: str) -> sqlite3.Connection:
    # This package begins and ends every transaction itself (isolation_level None). Another thread may close the connection.
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False)
