"""Whether a token's account exists, asked of another shard."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenantry.apiserver.authentication.authenticator import UnionAuthenticator
from tenantry.apiserver.request import Request
from tenantry.http.messages import Reply, Response
from tenantry.kube.status import StatusError
from tenantry.tenancy.service_account_lookup import ServiceAccountLookup, forget_tokens
from tests.support.one_process import running
from tests.support.people import MASTER
from tests.support.tenancies import ServedShard

FOUND = b'{"metadata":{"uid":"7"}}'
DELETING = b'{"metadata":{"uid":"7","deletionTimestamp":"2026-01-01T00:00:00Z"}}'


class Answers:
    """The peers, who answer as they are told."""

    def __init__(self, reply: Response) -> None:
        self.reply = reply
        self.asked: list[str] = []

    async def call(self, range_name: str, request: Request) -> Reply:
        self.asked.append(request.path)
        return self.reply


async def test_an_account_is_there_or_not_or_nobody_knows(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        tenancy = stack.tenancy
        cluster = await stack.workspace("root", "one")
        tenancy.cell.range_of(cluster).owned = False
        for reply, uid in ((Response(200, FOUND), "7"), (Response(200, DELETING), None), (Response(404, b"{}"), None)):
            lookup = ServiceAccountLookup(tenancy.cell, tenancy.range_map, Answers(reply))
            assert await lookup(cluster, "serviceaccounts", "default", "one") == uid
        for status in (429, 500, 503):
            lookup = ServiceAccountLookup(tenancy.cell, tenancy.range_map, Answers(Response(status, b"{}")))
            with pytest.raises(StatusError, match="cannot check whether") as refused:
                await lookup(cluster, "serviceaccounts", "default", "one")
            assert refused.value.code == 503


async def test_what_a_token_is_bound_to_is_asked_for_where_it_is(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        tenancy = stack.tenancy
        cluster = await stack.workspace("root", "one")
        tenancy.cell.range_of(cluster).owned = False
        peers = Answers(Response(200, FOUND))
        lookup = ServiceAccountLookup(tenancy.cell, tenancy.range_map, peers)
        for resource, namespace in (("pods", "default"), ("nodes", "")):
            assert await lookup(cluster, resource, namespace, "one") == "7"
        core = f"/clusters/{cluster}/api/v1"
        assert peers.asked == [f"{core}/namespaces/default/pods/one", f"{core}/nodes/one"]


class Forgets(UnionAuthenticator):
    def __init__(self) -> None:
        super().__init__()
        self.uids: list[str] = []

    def forget_object(self, uid: str) -> None:
        self.uids.append(uid)


async def test_a_deletion_is_told_by_uid() -> None:
    cluster = "0001111111111111"
    namespaced = f"/clusters/{cluster}/api/v1/namespaces/default"
    async with ServedShard() as shard:
        await shard.cluster(cluster, "root:ws")
        await shard.namespace(cluster, "default")
        forgets = Forgets()
        stop = forget_tokens(forgets, shard.cell.range_of(cluster))
        uids = []
        for collection, finalizers in (("secrets", []), ("serviceaccounts", []), ("secrets", ["example.com/wait"])):
            body = {"metadata": {"name": "one", "finalizers": finalizers}}
            status, made = await shard.call("POST", f"{namespaced}/{collection}", MASTER, body)
            assert status == 201, made
            uids.append(made["metadata"]["uid"])
            assert forgets.uids == uids[:-1], "a creation drops nothing"
            assert (await shard.call("DELETE", f"{namespaced}/{collection}/one", MASTER))[0] == 200
            assert forgets.uids == uids
        stop()
