"""Logs: one JSON object per line. The access log never contains credentials, queries or bodies."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from typing import IO, Any

import orjson

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Formats a record as JSON: time, level, logger, message, the traceback if there is one, and the values of `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": _timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry.update((key, value) for key, value in vars(record).items() if key not in _STANDARD)
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return orjson.dumps(entry, default=str).decode()


def configure(level: str = "info", stream: IO[str] | None = None) -> None:
    """Sends every logger of the process to `stream` (standard error) as JSON. `level`: debug, info, warning or error."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


class AccessLog:
    """Writes one line for each request. A thread writes the buffered lines, so that a blocked pipe never delays requests. Lines
    that do not fit into `buffer_bytes` are dropped and counted in `dropped`."""

    def __init__(self, stream: IO[bytes], *, buffer_bytes: int = 4 * 1024 * 1024) -> None:
        self.dropped = 0
        self._stream = stream
        self._limit_bytes = buffer_bytes
        self._lines: list[bytes] = []
        self._size = 0
        self._writing: asyncio.Future[None] | None = None

    def record(
        self,
        *,
        request_id: str,
        remote: str,
        user: str,
        impersonator: str,
        verb: str,
        method: str,
        path: str,
        code: int,
        seconds: float,
    ) -> None:
        """Adds a line for an answered request. `seconds`: how long the answer took, or how long the watch lasted."""
        entry: dict[str, Any] = {
            "time": _timestamp(time.time()),
            "logger": "access",
            "requestID": request_id,
            "remote": remote,
            "user": user,
            "verb": verb,
            "method": method,
            "path": path,
            "code": code,
            "milliseconds": round(seconds * 1000, 3),
        }
        if impersonator:
            entry["impersonator"] = impersonator
        try:
            line = orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)
        except TypeError:
            # A header named a user in bytes that are not UTF-8.
            clean = {
                key: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
                for key, value in entry.items()
            }
            line = orjson.dumps(clean, option=orjson.OPT_APPEND_NEWLINE)
        if self._size + len(line) > self._limit_bytes:
            self.dropped += 1
            return
        self._lines.append(line)
        self._size += len(line)

    def flush(self) -> None:
        """Writes the buffered lines in a thread. It does nothing while an earlier write is not finished."""
        if self._lines and (self._writing is None or self._writing.done()):
            self._writing = asyncio.get_running_loop().run_in_executor(None, self._write, self._take())

    def close(self) -> None:
        """Writes the rest. It blocks until that is done."""
        if self._lines:
            self._write(self._take())

    def _take(self) -> bytes:
        lines, self._lines, self._size = self._lines, [], 0
        return b"".join(lines)

    def _write(self, data: bytes) -> None:
        try:
            self._stream.write(data)
            self._stream.flush()
        except (OSError, ValueError):
            # The reader of the pipe ended or the stream was closed. The server continues without an access log.
            self.dropped += data.count(b"\n")


def _timestamp(seconds: float) -> str:
    whole = int(seconds)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{int((seconds - whole) * 1000):03d}Z"
