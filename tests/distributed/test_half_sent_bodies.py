"""Callers without credentials who send half a body, at a gateway and at a shard, and readers who come meanwhile."""

from __future__ import annotations

import resource
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.people import ACCESS, everybody, grant, token_file
from tests.support.api import Api
from tests.support.fleet import Fleet
from tests.support.pace import session_ttl, stretch

AT_A_GATEWAY = 1700
"""More than it carries out reads at the same time (1,600)."""
AT_A_SHARD = 500
"""The same for a shard (400)."""
READERS = 4
READS = 10
BOUND_SECONDS = 1.0
HALF = b"%s /clusters/root/api HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Fleet]:
    users = tmp_path / "users.csv"
    users.write_text(token_file())
    with Fleet(flags={"shard": ("--token-auth-file", str(users), *session_ttl(10.0))}) as fleet:
        yield fleet


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 8192)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def half_sent(url: str, count: int, stack: ExitStack) -> None:
    """Connections of nobody, each with half a body; reads and writes in turns."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    address = urlsplit(url)

    def connect(number: int) -> ssl.SSLSocket:
        plain = socket.create_connection((address.hostname, address.port), timeout=30)
        secure = tls.wrap_socket(plain)
        secure.sendall(HALF % (b"GET" if number % 2 else b"POST"))
        return secure

    with ThreadPoolExecutor(8) as threads:
        for connection in threads.map(connect, range(count)):
            stack.enter_context(connection)


def read(api: Api) -> float:
    """The longest of some GETs, in seconds."""
    longest = 0.0
    for _ in range(READS):
        began = time.monotonic()
        assert api.status_of("GET", "/api") == 200
        longest = max(longest, time.monotonic() - began)
    return longest


@pytest.mark.usefixtures("many_files")
def test_half_sent_bodies_keep_no_reader_out(platform: Fleet) -> None:
    people = everybody()[:READERS]
    for person in people:
        grant(platform.root, person.subject, ACCESS, name=person.name)
    readers = [platform.root.caller(person.token) for person in people]
    for reader in readers:
        read(reader)
    with ExitStack() as stack:
        half_sent(platform.url, AT_A_GATEWAY, stack)
        half_sent(platform.owner("root").url, AT_A_SHARD, stack)
        with ThreadPoolExecutor(READERS) as threads:
            assert max(threads.map(read, readers)) <= BOUND_SECONDS * stretch()
