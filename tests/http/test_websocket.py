"""Streams by WebSocket: frames, the handshake, what a client may send, and streams of other servers."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import cast

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from tenantry.apiserver.request import Handler, Request
from tenantry.apiserver.serving import http_server
from tenantry.http.client_connection import ClientConnection
from tenantry.http.messages import Relay, RelaySink, Reply, Response, Sink, Stream, frame
from tenantry.http.server import HttpServer
from tenantry.http.websocket_frames import BINARY, TEXT, ClientFrames, message
from tenantry.http.websocket_relay import EventTooLarge, WebSocketRelay
from tests.growth.meter import lines
from tests.support.patience import PATIENCE_SECONDS

LOOP_FACTORIES = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = {
    "Host": "x",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
    "Origin": "https://ui.example",
}


def parsed(data: bytes) -> list[tuple[int, bytes]]:
    """The frames of a server, by a reader that knows nothing of the product."""
    found = []
    while data:
        first, second = data[0], data[1]
        assert first & 0x80, "the server sends whole messages"
        size, at = second, 2
        if second == 126:
            size, at = struct.unpack(">H", data[2:4])[0], 4
        elif second == 127:
            size, at = struct.unpack(">Q", data[2:10])[0], 10
        if len(data) < at + size:
            raise IndexError("the last frame is not complete")
        found.append((first & 0x0F, data[at : at + size]))
        data = data[at + size :]
    return found


def sent(opcode: int, payload: bytes = b"", *, final: bool = True, mask: bytes = b"\x01\x02\x03\x04", flags: int = 0) -> bytes:
    """A client's frame. An empty `mask`: none."""
    masked = 0x80 if mask else 0
    head = bytes([opcode | flags | (0x80 if final else 0)])
    if len(payload) < 126:
        head += bytes([masked | len(payload)])
    elif len(payload) < 1 << 16:
        head += bytes([masked | 126]) + struct.pack(">H", len(payload))
    else:
        head += bytes([masked | 127]) + struct.pack(">Q", len(payload))
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload)) if mask else head + payload


def read(pieces: Sequence[bytes]) -> tuple[int, list[tuple[int, bytes]]]:
    """The close code, and what was answered, after some pieces of a client's bytes."""
    answers: list[bytes] = []
    frames = ClientFrames(answers.append)
    for piece in pieces:
        frames.feed(piece)
    return frames.close_code, parsed(b"".join(answers))


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 200_000])
def test_a_message_is_one_frame(size: int) -> None:
    assert parsed(message(TEXT, b"x" * size)) == [(1, b"x" * size)]
    assert parsed(message(BINARY, b"x" * size)) == [(2, b"x" * size)]


MESSAGES = st.lists(st.binary(max_size=300), min_size=1, max_size=3)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A client's bytes that keep the rules, and the payloads of its pings."""
    out, pings = b"", []
    for fragments in draw(st.lists(MESSAGES, max_size=4)):
        for number, fragment in enumerate(fragments):
            opcode = draw(st.sampled_from([1, 2])) if number == 0 else 0
            out += sent(opcode, fragment, final=number == len(fragments) - 1, mask=draw(st.binary(min_size=4, max_size=4)))
            if draw(st.booleans()):
                pings.append(draw(st.binary(max_size=125)))
                out += sent(9, pings[-1], mask=draw(st.binary(min_size=4, max_size=4)))
    return out, pings


@given(conversations(), st.lists(st.integers(0, 3000), max_size=6))
def test_messages_are_dropped_and_pings_answered_however_the_bytes_are_cut(
    conversation: tuple[bytes, list[bytes]], cuts: list[int]
) -> None:
    data, pings = conversation
    at = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[begin:end] for begin, end in itertools.pairwise(at)]
    assert read(pieces) == (0, [(10, ping) for ping in pings])
    assert read([*pieces, sent(8, b"\x03\xe9bye"), sent(9, b"late")]) == (1000, [(10, ping) for ping in pings])


def test_a_long_ping_takes_no_more_lines_than_a_short_one() -> None:
    def spent(size: int) -> int:
        data = sent(9, b"x" * size)
        return lines(lambda: ClientFrames(lambda answer: None).feed(data))

    assert spent(125) == spent(4)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (sent(1, b"hello", mask=b""), 1002),
        (sent(9, mask=b""), 1002),
        (sent(1, b"compressed", flags=0x40), 1002),
        (sent(3), 1002),
        (sent(11), 1002),
        (sent(0, b"of no message"), 1002),
        (sent(1, b"a", final=False) + sent(1, b"b"), 1002),
        (sent(9, b"a", final=False), 1002),
        (sent(9, b"x" * 126), 1002),
        (bytes([0x82, 0xFF]) + struct.pack(">Q", (32 << 20) + 1) + b"mask", 1009),
        (bytes([0x02, 0xFF]) + struct.pack(">Q", 32 << 20) + b"mask", 0),
        (sent(9) * 257, 1008),
        (sent(9) * 256, 0),
        (sent(8), 1000),
        (sent(8, b"\x03\xf3"), 1000),
    ],
)
def test_what_breaks_the_rules_closes_the_connection(data: bytes, code: int) -> None:
    assert read([data])[0] == code


def test_fragments_count_as_one_message() -> None:
    frames = ClientFrames(lambda pong: None)
    piece = sent(1, b"x" * (1 << 20), final=False)
    frames.feed(piece)
    for _ in range(31):
        assert frames.close_code == 0
        frames.feed(bytes([piece[0] & 0xF0]) + piece[1:])
    frames.feed(sent(0, b"x"))
    assert frames.close_code == 1009


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        self.reader, self.writer, self.head = reader, writer, head
        self.status = int(head.split(b" ")[1])
        self._data = b""

    async def rest(self) -> list[tuple[int, bytes]]:
        """All frames until the server closes."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return parsed(await self.reader.read())

    async def frames(self, count: int) -> list[tuple[int, bytes]]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    found = parsed(self._data)
                except (IndexError, struct.error):
                    found = []
                if len(found) >= count:
                    return found
                self._data += await self.reader.read(1)


Open = Callable[..., Awaitable[Client]]


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    servers: list[HttpServer[Request]] = []
    writers: list[asyncio.StreamWriter] = []

    async def start(handler: Handler, changes: dict[str, str | None] | None = None, after: bytes = b"") -> Client:
        server = http_server(handler)
        servers.append(server)
        reader, writer = await asyncio.open_connection("127.0.0.1", await server.start("127.0.0.1", 0))
        writers.append(writer)
        lines = [f"{name}: {value}\r\n" for name, value in {**HANDSHAKE, **(changes or {})}.items() if value is not None]
        writer.write(("GET /watch HTTP/1.1\r\n" + "".join(lines) + "\r\n").encode() + after)
        async with asyncio.timeout(PATIENCE_SECONDS):
            return Client(reader, writer, await reader.readuntil(b"\r\n\r\n"))

    yield start
    for writer in writers:
        writer.close()
    for server in servers:
        await server.stop()


def events(*lines: bytes, then: asyncio.Event | None = None) -> Handler:
    """Streams these, and then waits for the client or for `then`."""

    async def handler(request: Request) -> Reply:
        async def run(sink: Sink) -> None:
            for line in lines:
                sink.send(message(TEXT, line) if request.websocket else frame(line))
            await (then or sink.closed).wait()

        return Stream(run)

    return handler


def ended() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


async def test_a_stream_in_frames(opened: Open) -> None:
    client = await opened(events(b"one\n", b"two\n", then=ended()), {"Sec-WebSocket-Protocol": "v1.example"})
    assert client.status == 101
    # The example of RFC 6455 §1.3.
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in client.head
    assert b"\r\nSec-WebSocket-Protocol: v1.example\r\n" in client.head
    assert await client.rest() == [(1, b"one\n"), (1, b"two\n"), (8, b"\x03\xe8")]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 101),
        ({"Sec-WebSocket-Extensions": "permessage-deflate"}, 101),
        ({"Upgrade": "WebSocket", "Connection": "keep-alive, UPGRADE"}, 101),
        ({"Sec-WebSocket-Key": None}, 400),
        ({"Sec-WebSocket-Key": "short"}, 101),
        ({"Sec-WebSocket-Version": None}, 400),
        ({"Sec-WebSocket-Version": "8"}, 400),
        ({"Origin": None}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "::no url"}, 403),
        ({"Origin": "elsewhere"}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Origin": "http://localhost:8080"}, 101),
        ({"Origin": "chrome-extension://abcdef"}, 101),
        ({"Origin": "/a/path"}, 101),
        ({"Sec-WebSocket-Protocol": "a, b"}, 400),
        ({"Sec-WebSocket-Protocol": ""}, 101),
        ({"Upgrade": None}, 200),
        ({"Upgrade": "h2c, websocket"}, 200),
        ({"Upgrade": "SPDY/3.1"}, 200),
        ({"Connection": "keep-alive"}, 200),
    ],
)
async def test_handshakes(opened: Open, changes: dict[str, str | None], status: int) -> None:
    client = await opened(events(b"x\n", then=ended()), changes)
    assert client.status == status
    if client.status == 400 and changes.get("Sec-WebSocket-Version", "") in (None, "8"):
        assert b"Sec-WebSocket-Version: 13" in client.head


async def test_an_answer_that_is_no_stream_ignores_the_upgrade(opened: Open) -> None:
    async def handler(request: Request) -> Reply:
        return Response(200, request.path.encode())

    client = await opened(handler, after=b"GET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert client.status == 200
    async with asyncio.timeout(PATIENCE_SECONDS):
        rest = await client.reader.read()
    assert rest.startswith(b"/watch") and rest.endswith(b"/next")


async def test_a_client_that_pings_and_closes(opened: Open) -> None:
    client = await opened(events(b"one\n"), after=sent(9, b"early"))
    client.writer.write(sent(1, b"hello") + sent(9, b"late"))
    assert sorted(await client.frames(3)) == [(1, b"one\n"), (10, b"early"), (10, b"late")]
    client.writer.write(sent(8, b"\x03\xe8bye"))
    assert await client.rest() == [(8, b"\x03\xe8")]


async def test_the_end_of_a_stream_waits_for_the_clients_close_frame(opened: Open) -> None:
    client = await opened(events(b"one\n", then=ended()))
    assert await client.frames(2) == [(1, b"one\n"), (8, b"\x03\xe8")]
    client.writer.write(sent(8, b"\x03\xe8"))
    await client.writer.drain()
    assert await client.rest() == []


async def test_a_client_that_breaks_the_rules(opened: Open) -> None:
    client = await opened(events())
    client.writer.write(sent(1, b"hello", mask=b""))
    assert await client.rest() == [(8, b"\x03\xea")]


async def test_a_client_that_goes_on_sending_is_read_slowly(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    read_bytes = 0
    feed = ClientFrames.feed

    def counted(frames: ClientFrames, data: bytes) -> None:
        nonlocal read_bytes
        read_bytes += len(data)
        feed(frames, data)

    monkeypatch.setattr(ClientFrames, "feed", counted)
    client = await opened(events())
    loop = asyncio.get_running_loop()
    began = loop.time()
    flood = sent(1, os.urandom(1 << 20), mask=b"\0\0\0\0")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            for _ in range(64):
                client.writer.write(flood)
                await client.writer.drain()
    # A read of up to 256 KiB is under way when the client is made to wait.
    assert read_bytes < (loop.time() - began) * (256 << 10) + (512 << 10)


class Output:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


def relay_to(output: Output, content_type: bytes) -> WebSocketRelay:
    async def drain() -> None:
        pass

    header = b"Audit-Id: x\r\nContent-Type: " + content_type + b"\r\n"
    return WebSocketRelay(cast(ClientConnection, None), cast(asyncio.WriteTransport, output), drain, header)


@given(
    st.booleans(),
    st.lists(st.lists(st.binary(max_size=400), min_size=1, max_size=3), max_size=5),
    st.lists(st.integers(0, 6000), max_size=8),
)
def test_a_relayed_stream_has_the_same_events(lines: bool, chunks: list[list[bytes]], cuts: list[int]) -> None:
    """However the other server's events are put into chunks, and these into reads."""
    if lines:
        chunks = [[base64.b64encode(event) + b"\n" for event in chunk] for chunk in chunks]
        framed = [b"".join(chunk) for chunk in chunks]
    else:
        framed = [b"".join(len(event).to_bytes(4, "big") + event for event in chunk) for chunk in chunks]
    data = b"".join(map(frame, framed)) + b"0\r\n\r\n"
    output = Output()
    relay = relay_to(output, b"application/json" if lines else b"application/vnd.kubernetes.protobuf;stream=watch")
    at = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for begin, end in itertools.pairwise(at):
        relay.write(data[begin:end])
    assert parsed(output.written) == [(1 if lines else 2, event) for chunk in chunks for event in chunk]


def test_an_event_without_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenantry.http.websocket_relay._EVENT_LIMIT_BYTES", 1000)
    relay = relay_to(Output(), b"application/json")
    relay.write(frame(b"x" * 900))
    with pytest.raises(EventTooLarge):
        relay.write(frame(b"x" * 101))


async def test_a_relayed_stream_ends_with_a_close_frame(opened: Open) -> None:
    closed: list[str] = []

    async def handler(request: Request) -> Reply:
        async def run(sink: RelaySink) -> bool:
            sink.write(frame(b"one\ntwo\n"))
            ending = asyncio.Event()
            sink.on_ending(ending.set)
            await ending.wait()
            return False

        header = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
        return Relay(200, header, b"", run, True, lambda: closed.append("closed"))

    client = await opened(handler)
    assert client.status == 101
    assert await client.frames(2) == [(1, b"one\n"), (1, b"two\n")]
    client.writer.write(sent(9, b"?") + sent(8))
    assert await client.rest() == [(10, b"?"), (8, b"\x03\xe8")]
    assert closed == []
    refused = await opened(handler, {"Origin": None})
    assert (refused.status, closed) == (403, ["closed"])


async def test_a_server_that_drains_closes_its_streams() -> None:
    server = http_server(events(b"one\n"))
    reader, writer = await asyncio.open_connection("127.0.0.1", await server.start("127.0.0.1", 0))
    writer.write(("GET /watch HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in HANDSHAKE.items()) + "\r\n").encode())
    async with asyncio.timeout(PATIENCE_SECONDS):
        await reader.readuntil(b"\r\n\r\n")
        assert parsed(await reader.readexactly(6)) == [(1, b"one\n")]
        await server.drain()
        assert parsed(await reader.read()) == [(8, b"\x03\xe8")]
    writer.close()
    await server.stop()
