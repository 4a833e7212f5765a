"""The lock file beside the store. It allows one process at a time; the kernel releases it when the process dies."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from tenantry.storage.store import StoreError, Unavailable

LOCK_FILE = "store.lock"


class AlreadyOpen(StoreError):
    """Another process uses the directory. `pid`: 0 if the lock file does not tell it."""

    def __init__(self, directory: Path, pid: int) -> None:
        holder = f"process {pid}" if pid else "another process"
        super().__init__(
            f"the data directory {directory} is in use by {holder}; stop that process, or choose another directory for this one"
        )
        self.directory = directory
        self.pid = pid


class DirectoryLock:
    """Locks a directory until `release`. The constructor raises AlreadyOpen, Unavailable (the directory cannot be written)."""

    def __init__(self, directory: Path) -> None:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise Unavailable(f"the data directory {directory} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            text = os.pread(self._file, 32, 0).strip()
            os.close(self._file)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise AlreadyOpen(directory, int(text) if text.isdigit() else 0) from None
            raise Unavailable(f"the data directory {directory} cannot be locked: {error.strerror}") from error
        try:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            # The disk is full. The directory is locked even so; only the pid is missing.
            return

    def release(self) -> None:
        os.close(self._file)
