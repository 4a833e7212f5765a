"""Which servers are accepted. The refused ones are fakes that only tell their version."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest

from tenantry._proto.etcd import rpc_pb2 as rpc
from tenantry.storage.etcd import EtcdConfig, EtcdStore, UnsupportedVersion
from tenantry.storage.etcd.config import Endpoint, parse_endpoint
from tenantry.storage.etcd.server_version import check_version, reports_progress_on_request
from tenantry.storage.store import Unavailable
from tests.support.etcd import EtcdServer

Serve = Callable[..., Awaitable[str]]


@pytest.mark.parametrize("text", ["3.4.22", "3.4.23", "3.4.40", "3.5.6", "3.5.21", "3.6.0", "3.6.0-rc.1", "3.10.0", "4.0.0"])
def test_accepted(text: str) -> None:
    check_version(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("3.4.21", "acknowledged writes"),
        ("3.5.0", "13766"),
        ("3.5.2", "13766"),
        ("3.5.5", "acknowledged writes"),
        ("3.3.27", "not maintained"),
        ("2.3.8", "not maintained"),
        ("", "not a version number"),
        ("not set", "not a version number"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(UnsupportedVersion, match=reason):
        check_version(text)


def test_whose_progress_reports_are_trusted() -> None:
    assert [reports_progress_on_request(check_version(text)) for text in ("3.4.40", "3.5.12", "3.5.13", "3.6.0")] == [
        False,
        False,
        True,
        True,
    ]


def test_endpoints() -> None:
    assert parse_endpoint("https://etcd-0") == Endpoint("etcd-0:2379", True)
    assert parse_endpoint("http://[::1]:23/") == Endpoint("[::1]:23", False)
    for wrong in ("etcd-0:2379", "unix:///etcd", "http://", "http://user@etcd", "http://etcd/path"):
        with pytest.raises(ValueError, match="endpoint"):
            EtcdConfig((wrong,))
    with pytest.raises(ValueError, match="no etcd endpoint"):
        EtcdConfig(())


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts a server that answers Status alone; its URL."""
    servers: list[grpc.aio.Server] = []

    async def start(**status: Any) -> str:
        async def answer(request: rpc.StatusRequest, context: grpc.aio.ServicerContext) -> rpc.StatusResponse:
            return rpc.StatusResponse(**({"leader": 1} | status))

        server = grpc.aio.server()
        handler = grpc.unary_unary_rpc_method_handler(answer, rpc.StatusRequest.FromString, rpc.StatusResponse.SerializeToString)
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("etcdserverpb.Maintenance", {"Status": handler})])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        servers.append(server)
        return f"http://127.0.0.1:{port}"

    yield start
    for server in servers:
        await server.stop(None)


async def test_an_old_server_is_refused_at_once(serve: Serve) -> None:
    with pytest.raises(UnsupportedVersion, match=r"etcd 3\.5\.4 is not supported.*3\.5\.6 or later"):
        await EtcdStore.open(EtcdConfig((await serve(version="3.5.4"), await serve(version="3.4.1")), deadline_seconds=60))


async def test_members_that_cannot_serve_are_passed_over(serve: Serve) -> None:
    useless = [await serve(version="3.5.4"), await serve(version="3.6.1", isLearner=True), await serve(version="3.6.1", leader=0)]
    with pytest.raises(Unavailable, match=r"3\.5\.4 is not supported.*learner.*no leader"):
        await EtcdStore.open(EtcdConfig(tuple(useless), deadline_seconds=3.0, opening_seconds=0.0))
    server = EtcdServer()
    server.start()
    store = await EtcdStore.open(EtcdConfig((*useless, server.url), deadline_seconds=60.0))
    assert (await store.read(b"/", b"0")).kvs == []
    await store.close()
    server.stop()
