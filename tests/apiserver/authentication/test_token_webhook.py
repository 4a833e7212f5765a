"""Tokens that a webhook reviews."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tenantry.apiserver.authentication.authenticator import InvalidToken, TokenIdentity, UnionAuthenticator
from tenantry.apiserver.authentication.token_webhook import WebhookTokens
from tenantry.apiserver.kubeconfig_file import read_endpoint
from tenantry.apiserver.request import Request
from tenantry.apiserver.review_calls import ReviewCalls
from tenantry.apiserver.user import User
from tenantry.http.callers import UNAUTHENTICATED
from tenantry.http.calls import Calls
from tests.support.https_servers import HttpsServer

OWN = "https://kcp.default.svc"
ANN: dict[str, Any] = {"username": "ann", "uid": "u-1", "groups": ["dev"], "extra": {"a": ["b"]}}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def webhook() -> Iterator[HttpsServer]:
    with HttpsServer() as server:
        says(server, {"authenticated": True, "user": ANN})
        yield server


def says(webhook: HttpsServer, status: dict[str, Any]) -> None:
    webhook.answer = lambda path, body: (200, {"apiVersion": body["apiVersion"], "kind": "TokenReview", "status": status})


@asynccontextmanager
async def tokens(
    webhook: HttpsServer, folder: Path, kept: float = 120, clock: Clock | None = None
) -> AsyncIterator[WebhookTokens]:
    path = webhook.kubeconfig(folder / "kubeconfig", username="us", password="secret")
    calls = Calls()

    async def no_pause(seconds: float) -> None:
        pass

    reviews = ReviewCalls(path, read_endpoint(path), calls, pause=no_pause)
    try:
        yield WebhookTokens(reviews, version="v1", implicit_audiences=[OWN], kept_seconds=kept, clock=clock or Clock())
    finally:
        await calls.close()


async def test_the_user_of_a_token(webhook: HttpsServer, tmp_path: Path) -> None:
    async with tokens(webhook, tmp_path) as known:
        found = await known.authenticate_token("t", [OWN])
    assert found == TokenIdentity(User("ann", ("dev",), "u-1", (("a", ("b",)),)), (OWN,))
    (path, body, headers) = webhook.requests[0]
    assert (path, body["spec"]) == ("/review", {"token": "t", "audiences": [OWN]})
    assert headers["authorization"].startswith("Basic ")


async def test_audiences(webhook: HttpsServer, tmp_path: Path) -> None:
    async with tokens(webhook, tmp_path) as known:
        # A webhook that names none answers for those of the server.
        assert await known.authenticate_token("t", ["else"]) is None
        says(webhook, {"authenticated": True, "user": ANN, "audiences": ["else"]})
        found = await known.authenticate_token("u", ["else", "more"])
        assert found is not None and found.audiences == ("else",)
        assert await known.authenticate_token("u", [OWN]) is None


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"authenticated": False},
        {"authenticated": "true", "user": ANN},
        {"authenticated": True},
        {"authenticated": True, "user": {}},
    ],
)
async def test_tokens_that_it_does_not_know(webhook: HttpsServer, tmp_path: Path, status: dict[str, Any]) -> None:
    says(webhook, status)
    async with tokens(webhook, tmp_path) as known:
        assert await known.authenticate_token("t", [OWN]) is None


async def test_why_a_token_is_refused(webhook: HttpsServer, tmp_path: Path) -> None:
    says(webhook, {"authenticated": False, "error": "revoked"})
    async with tokens(webhook, tmp_path) as known:
        for _ in range(2):
            with pytest.raises(InvalidToken, match=r"^revoked$"):
                await known.authenticate_token("t", [OWN])
        assert len(webhook.requests) == 1
        # What it says beside reviews is for logs.
        webhook.answer = lambda path, body: (500, {"internal": "detail"})
        with pytest.raises(InvalidToken, match=r"^it answered 500$"):
            await known.authenticate_token("another", [OWN])
        # Five attempts, and none of them is kept.
        assert len(webhook.requests) == 6
        says(webhook, {"authenticated": True, "user": ANN})
        assert await known.authenticate_token("another", [OWN])


async def test_answers_are_kept_and_asked_for_once(webhook: HttpsServer, tmp_path: Path) -> None:
    clock = Clock()
    async with tokens(webhook, tmp_path, clock=clock) as known:
        assert all(await asyncio.gather(*(known.authenticate_token("t", [OWN]) for _ in range(20))))
        clock.now = 119
        assert await known.authenticate_token("t", [OWN])
        assert len(webhook.requests) == 1
        clock.now = 121
        assert await known.authenticate_token("t", [OWN])
        assert len(webhook.requests) == 2
    async with tokens(webhook, tmp_path, kept=0) as known:
        assert all(await asyncio.gather(*(known.authenticate_token("t", [OWN]) for _ in range(3))))
        assert len(webhook.requests) == 5


class At:
    """A place of somebody's request."""

    def __init__(self, *owners: str) -> None:
        self.owners = owners

    async def wait(self, waiter: asyncio.Future[None]) -> None:
        await waiter

    async def away(self, work: Awaitable[Any]) -> Any:
        return await work


async def test_a_flood_of_unknown_tokens_does_not_delay_others(tmp_path: Path) -> None:
    going, seen = threading.Event(), list[str]()

    def answer(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        seen.append(body["spec"]["token"])
        assert not body["spec"]["token"].startswith("slow") or going.wait(30)
        status = {"authenticated": True, "user": ANN} if body["spec"]["token"] == "known" else {}
        return 200, {"apiVersion": body["apiVersion"], "kind": "TokenReview", "status": status}

    def login(token: str, place: At, cluster: str = "root", remote: str = "") -> asyncio.Task[Any]:
        request = Request("GET", f"/clusters/{cluster}/api", "", {"authorization": f"Bearer {token}"}, remote=remote, place=place)
        return asyncio.ensure_future(union.authenticate(request, cluster))

    with HttpsServer() as webhook:
        webhook.answer = answer
        async with tokens(webhook, tmp_path, kept=0) as remote:
            union = UnionAuthenticator(remote_tokens=[remote], audiences=[OWN])
            # All connections that a tenant may have are waiting for their answers, and many more requests for those.
            flood = [login(f"slow {number}", At(UNAUTHENTICATED, f"{number}"), f"c{number}", "10.0.0.1") for number in range(300)]
            async with asyncio.timeout(30):
                assert (await login("known", At("cluster a", "user ann"))).name == "ann"
                assert (await login("known", At(UNAUTHENTICATED, "new"), remote="10.0.0.2")).name == "ann"
            going.set()
            assert len(seen) < 300
            assert len(await asyncio.gather(*flood, return_exceptions=True)) == 300
