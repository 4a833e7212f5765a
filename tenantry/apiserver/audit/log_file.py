"""A log file that is rotated, with the names, limits and permissions of kube-apiserver's."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

_PACKED = ".gz"
_NEW = os.O_CREAT | os.O_TRUNC | os.O_WRONLY
_STAMP = "%Y-%m-%dT%H-%M-%S"
_STAMPED = re.compile(r"-(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d)\.(\d{3})")


class LogFile:
    """Writes to `path`, or to standard output where it is `-`. Its methods block; they are called in one thread, `tidy` in
    another.

    `bytes_max`: the size of a file; 0: it is not rotated. `backups_max` old files are kept, for `days_max` days; 0: no limit.
    `untidy`: there is an old file since the last `tidy`.
    """

    def __init__(self, path: str, *, bytes_max: int = 0, backups_max: int = 0, days_max: int = 0, compress: bool = False) -> None:
        self._path = None if path == "-" else Path(path)
        self._bytes_max = bytes_max
        self._backups_max = backups_max
        self._days_max = days_max
        self._compress = compress
        self._file: BinaryIO | None = None
        self._size = 0
        self.untidy = False

    def open(self) -> None:
        """Opens the file for appending. Raises OSError."""
        if self._path is None:
            self._file = sys.stdout.buffer
            return
        self._path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
        self._file = os.fdopen(os.open(self._path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "ab", buffering=0)
        self._size = self._path.stat().st_size

    def write(self, text: bytes) -> None:
        """Appends whole lines. Raises OSError."""
        if self._file is None:
            self.open()
        assert self._file is not None
        if self._path is not None and self._bytes_max and self._size and self._size + len(text) > self._bytes_max:
            self._rotate(self._path)
        view = memoryview(text)
        try:
            while view:
                view = view[self._file.write(view) :]
            self._file.flush()
        except OSError:
            if self._path is not None and len(view) < len(text):
                # Of a full disk: the next line would be joined to a part of this one.
                with suppress(OSError):
                    self._file.truncate(self._size)
            raise
        self._size += len(text)

    def close(self) -> None:
        if self._file is not None and self._path is not None:
            self._file.close()
        self._file = None

    def _rotate(self, path: Path) -> None:
        self.close()
        now = datetime.now(UTC)
        stamp = f"{now.strftime(_STAMP)}.{now.microsecond // 1000:03d}"
        old = path.with_name(f"{path.stem}-{stamp}{path.suffix}")
        # Another program may have moved the file: there is nothing to rotate then.
        with suppress(FileNotFoundError):
            path.rename(old)
            self.untidy = True
        self.open()

    def tidy(self) -> None:
        """Packs old files, where that is asked for, and deletes those that are too many or too old. It may take seconds. Raises
        OSError."""
        self.untidy = False
        if self._path is None:
            return
        found = self._old_files(self._path)
        kept = found[: self._backups_max] if self._backups_max else found
        oldest = datetime.now(UTC) - timedelta(days=self._days_max)
        for when, each in found:
            if (when, each) not in kept or (self._days_max and when < oldest):
                each.unlink(missing_ok=True)
            elif self._compress and each.suffix != _PACKED:
                _pack(each)

    def _old_files(self, path: Path) -> list[tuple[datetime, Path]]:
        """The old files, the newest first."""
        found: list[tuple[datetime, Path]] = []
        for each in path.parent.iterdir():
            name = each.name.removesuffix(_PACKED)
            stamp = _STAMPED.fullmatch(name[len(path.stem) : len(name) - len(path.suffix)])
            if stamp and name.startswith(path.stem) and name.endswith(path.suffix):
                try:
                    when = datetime.strptime(stamp[1], _STAMP).replace(tzinfo=UTC, microsecond=int(stamp[2]) * 1000)
                except ValueError:
                    continue
                found.append((when, each))
        return sorted(found, reverse=True)


def _pack(old: Path) -> None:
    """Replaces a file by a packed one, which has its name only when it is whole."""
    part = old.with_name(f"{old.name}{_PACKED}.part")
    try:
        with (
            old.open("rb") as source,
            open(os.open(part, _NEW, 0o600), "wb") as target,
            gzip.GzipFile(fileobj=target, mode="wb", compresslevel=6) as zipped,
        ):
            shutil.copyfileobj(source, zipped)
        part.rename(old.with_name(f"{old.name}{_PACKED}"))
    except OSError:
        part.unlink(missing_ok=True)
        raise
    old.unlink()
