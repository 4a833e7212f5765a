"""The HTTP server without the API server: its own errors, answered as whoever made it says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tenantry.http.callers import WITHOUT_CREDENTIALS, Caller
from tenantry.http.errors import BodyTimeout, BodyTooLarge, HandlerTimeout, InternalError
from tenantry.http.limits import Limits
from tenantry.http.messages import Reply, Request, Response
from tenantry.http.server import HttpServer

Ask = Callable[..., Awaitable[tuple[int, bytes]]]


class Strangers:
    """`Callers` that are all the same."""

    def of(self, request: Request) -> Caller:
        return WITHOUT_CREDENTIALS

    def answered(self, caller: Caller, request: Request, status: int) -> Caller:
        return caller

    def refused(self, request: Request) -> None:
        pass

    def trusts(self, certificate: bytes | None) -> bool:
        return False


class Log:
    """`RequestLog` that keeps what it is given."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, int]] = []

    def record(self, request: Request, code: int, seconds: float) -> None:
        self.lines.append((request.path, code))

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


CODES: dict[type[Exception], int] = {
    BodyTimeout: 408,
    BodyTooLarge: 413,
    InternalError: 500,
    HandlerTimeout: 504,
    LookupError: 404,
}
"""The last one is no error of the server's: the handler raises it on purpose."""


def refusal(error: Exception, request: Request) -> Response | None:
    code = CODES.get(type(error))
    return Response(code, f"{request.path}: {error}".encode(), "text/plain") if code is not None else None


async def handler(request: Request) -> Reply:
    match request.path:
        case "/missing":
            raise LookupError("nothing there")
        case "/bug":
            raise ZeroDivisionError("a secret")
        case "/slow":
            await asyncio.Event().wait()
    return Response(200, await request.read_body(5), "text/plain")


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def limits() -> Limits:
    return Limits()


@pytest.fixture
async def ask(log: Log, limits: Limits) -> AsyncIterator[Ask]:
    server = HttpServer(handler, make=Request, refusal=refusal, callers=Strangers(), limits=limits, request_log=log)
    port = await server.start("127.0.0.1", 0)

    async def ask(path: str, body: bytes = b"", length: int | None = None) -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        size = len(body) if length is None else length
        writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n".encode() + body)
        head, _, answer = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return int(head.split()[1]), answer

    yield ask
    await server.stop()


async def test_a_handler_is_served(ask: Ask, log: Log) -> None:
    assert await ask("/echo", b"12345") == (200, b"12345")
    assert log.lines == [("/echo", 200)]


@pytest.mark.parametrize(
    ("path", "body", "length", "limits", "answer"),
    [
        ("/missing", b"", None, Limits(), (404, b"/missing: nothing there")),
        ("/echo", b"123456", None, Limits(), (413, b"/echo: the body of the request has more than 5 bytes")),
        ("/echo", b"1", 5, Limits(body_timeout_seconds=0.1), (408, b"/echo: the body of the request did not arrive in time")),
        ("/slow", b"", None, Limits(request_timeout_seconds=0.1), (504, b"/slow: the request took too long")),
    ],
)
async def test_errors_are_answered_as_the_server_is_told(
    ask: Ask, log: Log, path: str, body: bytes, length: int | None, answer: tuple[int, bytes]
) -> None:
    assert await ask(path, body, length) == answer
    assert log.lines == [(path, answer[0])]


async def test_an_error_that_is_a_bug_is_logged_and_not_shown(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    code, answer = await ask("/bug")
    assert code == 500
    assert b"secret" not in answer
    assert "a secret" in caplog.text
