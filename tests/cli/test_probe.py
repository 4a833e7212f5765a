"""`tenantry probe`, against small servers of the test's own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tenantry.cli.main import main
from tenantry.cli.probe import NotReady, probe
from tenantry.http.certificates import CertificateAuthority
from tests.support.rpc import rpc_on_socket


@pytest.fixture
def pages() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ready = self.path == "/readyz?verbose"
            self.send_response(200 if ready else 500)
            self.end_headers()
            self.wfile.write(b"ok" if ready else b"[-]store failed: no answer")

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_exit_code_and_reason(pages: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", f"{pages}/readyz?verbose"]) == 0
    assert main(["probe", f"{pages}/livez"]) == 1
    assert capsys.readouterr().err == f"tenantry: {pages}/livez is not ready: 500 [-]store failed: no answer\n"


@pytest.mark.parametrize("url", ["localhost:6443", "ftp://localhost/", "https://", "grpc://"])
def test_refuses_what_is_no_url_of_a_server(url: str, tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="has to begin with"):
        probe(url, timeout_seconds=1, root=tmp_path)


def test_says_that_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="ConnectionRefusedError"):
        probe("https://127.0.0.1:9/readyz", timeout_seconds=1, root=tmp_path)
    with pytest.raises(NotReady, match=r"cannot read the client certificates .*; check --root-directory"):
        probe("grpc://127.0.0.1:9", timeout_seconds=1, root=tmp_path)


def test_it_is_cheap_enough_to_be_asked_every_few_seconds() -> None:
    program = "import sys; from tenantry.cli.main import main; main(['probe', 'http://127.0.0.1:9/']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert not {"asyncio", "grpc", "msgspec", "tenantry.cli.commands"} & set(done.stdout.split())


async def test_grpc(tmp_path: Path) -> None:
    pki = tmp_path / "pki"
    pki.mkdir()
    authority = CertificateAuthority.load_or_create(pki)
    authority.issue_client("probe").write(pki / "lookup-client.crt", pki / "lookup-client.key")
    failures: list[NotReady] = []
    async with rpc_on_socket({}, authority=authority) as served:

        def ask(service: str) -> None:
            try:
                probe(f"grpc://{served.address}{service}", timeout_seconds=5, root=tmp_path)
            except NotReady as error:
                failures.append(error)

        await asyncio.to_thread(ask, "")
        assert not failures
        await asyncio.to_thread(ask, "/no.such.Service")
        assert "NOT_FOUND" in str(failures.pop())
        await served.server.health.enter_graceful_shutdown()
        await asyncio.to_thread(ask, "")
        assert str(failures.pop()) == "NOT_SERVING"
