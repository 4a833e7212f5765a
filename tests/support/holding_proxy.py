"""An HTTP proxy before an API server that can hold one request, before the server gets it or after the server has answered.

A client that is killed meanwhile has died at exactly that request: no test needs to guess a time.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import NamedTuple, Self

import urllib3

from tests.support.patience import PATIENCE_SECONDS

BEFORE, AFTER = "before", "after"
_PASSED_ON = ("accept", "authorization", "content-type", "user-agent")


class Seen(NamedTuple):
    """A request that the server answered, with its code."""

    method: str
    path: str
    code: int


class _Trap:
    def __init__(self, method: str, path: str, when: str) -> None:
        self.method, self.path, self.when = method, re.compile(path), when
        self.caught = threading.Event()
        self.released = threading.Event()


class HoldingProxy:
    """A context manager. `url`: where clients reach it, without TLS. In answers, the server's URL becomes that of the proxy."""

    def __init__(self, server: str, ca: str) -> None:
        self.seen: list[Seen] = []
        self._server = server
        self._pool = urllib3.PoolManager(num_pools=2, maxsize=32, ca_certs=ca, retries=False)
        self._trap: _Trap | None = None
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                proxy._answer(self)

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._trap is not None:
            self._trap.released.set()
        self._http.shutdown()
        self._http.server_close()
        self._pool.clear()

    @contextlib.contextmanager
    def holding(self, method: str, path: str, when: str) -> Iterator[_Trap]:
        """Holds the next request whose path matches; `caught` is set then. At the end of the block it is let go: one that was
        held `before` never reaches the server."""
        trap = self._trap = _Trap(method, path, when)
        try:
            yield trap
        finally:
            with self._lock:
                self._trap = None
            trap.released.set()

    def count(self, method: str, path: str, *codes: int) -> int:
        """How many requests the server answered with one of these codes."""
        return sum(
            seen.method == method and re.search(path, seen.path) is not None and seen.code in codes for seen in tuple(self.seen)
        )

    def writes(self) -> int:
        """How many requests tried to write, other than to a Lease."""
        return sum(seen.method != "GET" and "/leases" not in seen.path for seen in tuple(self.seen))

    def _answer(self, client: BaseHTTPRequestHandler) -> None:
        trap = self._caught(client.command, client.path)
        length = int(client.headers.get("content-length") or 0)
        body = client.rfile.read(length) if length else None
        if trap is not None and trap.when == BEFORE:
            trap.caught.set()
            trap.released.wait(PATIENCE_SECONDS)
            client.close_connection = True
            return
        headers = {name: value for name in _PASSED_ON if (value := client.headers.get(name))}
        try:
            answer = self._pool.request(
                client.command,
                self._server + client.path,
                body=body,
                headers=headers,
                preload_content=False,
                timeout=urllib3.Timeout(connect=5.0, read=None),
            )
        except urllib3.exceptions.HTTPError:
            client.close_connection = True
            return
        try:
            with contextlib.suppress(OSError, urllib3.exceptions.HTTPError):
                self._pass_on(client, answer, trap)
        finally:
            answer.close()

    def _pass_on(self, client: BaseHTTPRequestHandler, answer: urllib3.BaseHTTPResponse, trap: _Trap | None) -> None:
        ours, theirs = self.url.encode(), self._server.encode()
        watch = "watch=true" in client.path and answer.status == 200
        content = b"" if watch else answer.read().replace(theirs, ours)
        self.seen.append(Seen(client.command, client.path, answer.status))
        if trap is not None:
            trap.caught.set()
            trap.released.wait(PATIENCE_SECONDS)
            client.close_connection = True
            return
        client.send_response(answer.status)
        client.send_header("Content-Type", answer.headers.get("content-type") or "application/json")
        if not watch:
            client.send_header("Content-Length", str(len(content)))
            client.end_headers()
            client.wfile.write(content)
            return
        client.send_header("Connection", "close")
        client.end_headers()
        client.close_connection = True
        rest = b""
        for piece in answer.stream(1 << 16):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                client.wfile.write(line.replace(theirs, ours) + b"\n")

    def _caught(self, method: str, path: str) -> _Trap | None:
        with self._lock:
            trap = self._trap
            if trap is None or trap.caught.is_set() or trap.method != method or not trap.path.search(path):
                return None
            self._trap = None
            return trap
