"""Tokens that are bound to Pods and Nodes, in a workspace that has these types."""

from __future__ import annotations

from typing import Any

import jwt
import pytest

from tenantry.apiserver.authentication.authenticator import InvalidToken
from tenantry.apiserver.authentication.service_account_tokens import ServiceAccountTokens, TokenIssuer, new_key
from tenantry.apiserver.endpoints import token_request
from tenantry.apiserver.scope import Call
from tenantry.http.messages import Reply
from tenantry.tenancy.service_account_lookup import ServiceAccountLookup
from tenantry.tenancy.types.workload_type import WORKLOADS_EXPORT
from tests.support.people import MASTER
from tests.support.tenancies import NoPeers, ServedShard

WS = "0001111111111111"
CORE = f"/clusters/{WS}/api/v1"
HERE = f"{CORE}/namespaces/default"
EXTRA = "authentication.kubernetes.io/"
ISSUER = TokenIssuer.of_pem(new_key(), "a test")


def pod(name: str, **spec: Any) -> Any:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "a", "image": "a"}], **spec}}


class Place:
    """A workspace with a service account, whose tokens it issues and verifies."""

    def __init__(self, shard: ServedShard) -> None:
        self.shard = shard
        lookup = ServiceAccountLookup(shard.cell, shard.map, NoPeers())
        lookup.apis = shard.tenancy.apis.read
        shard.connectors.update(token_request.connectors(ISSUER, lookup))
        self.tokens = ServiceAccountTokens(ISSUER, lookup)

    async def make(self, path: str, body: Any) -> Any:
        status, made = await self.shard.call("POST", path, MASTER, body)
        assert status == 201, made
        return made

    async def ask(self, kind: str, name: str, account: str = "robot", **more: str) -> tuple[int, Any]:
        spec = {"boundObjectRef": {"apiVersion": "v1", "kind": kind, "name": name, **more}}
        return await self.shard.call("POST", f"{HERE}/serviceaccounts/{account}/token", MASTER, {"spec": spec})

    async def token(self, kind: str, name: str) -> tuple[str, Any]:
        """The token, and its claims about Kubernetes."""
        status, answer = await self.ask(kind, name)
        assert status == 201, answer
        token = answer["status"]["token"]
        return token, jwt.decode(token, options={"verify_signature": False})["kubernetes.io"]

    async def extra(self, token: str) -> dict[str, str]:
        identity = await self.tokens.authenticate_token(token, ())
        assert identity is not None
        values = {key.removeprefix(EXTRA): value for key, (value,) in identity.user.extra if key.startswith(EXTRA)}
        del values["credential-id"]
        return values


async def place(shard: ServedShard, *, bound: bool = True) -> Place:
    await shard.cluster(WS, "root:ws")
    await shard.namespace(WS, "default")
    if bound:
        await shard.bind(WS, "root", WORKLOADS_EXPORT)
    made = Place(shard)
    for account in ("robot", "default"):
        await made.make(f"{HERE}/serviceaccounts", {"metadata": {"name": account}})
    return made


async def test_a_token_of_a_pod_ends_with_it() -> None:
    async with ServedShard() as shard:
        here = await place(shard)
        uid = (await here.make(f"{HERE}/pods", pod("web", serviceAccountName="robot")))["metadata"]["uid"]
        token, claims = await here.token("Pod", "web")
        assert claims["pod"] == {"name": "web", "uid": uid} and "node" not in claims
        assert await here.extra(token) == {"pod-name": "web", "pod-uid": uid}
        assert (await shard.call("DELETE", f"{HERE}/pods/web", MASTER))[0] == 200
        with pytest.raises(InvalidToken, match="service account token has been invalidated"):
            await here.tokens.authenticate_token(token, ())
        # Another Pod of that name is not the one of the token.
        other = (await here.make(f"{HERE}/pods", pod("web", serviceAccountName="robot")))["metadata"]["uid"]
        text = rf"^pod UID \({other}\) does not match service account pod ref claim \({uid}\)$"
        with pytest.raises(InvalidToken, match=text):
            await here.tokens.authenticate_token(token, ())


async def test_a_token_of_a_pod_tells_its_node() -> None:
    async with ServedShard() as shard:
        here = await place(shard)
        for name, node in (("lost", "gone"), ("placed", "n1")):
            await here.make(f"{HERE}/pods", pod(name, serviceAccountName="robot", nodeName=node))
        node_uid = (await here.make(f"{CORE}/nodes", {"metadata": {"name": "n1"}}))["metadata"]["uid"]
        token, claims = await here.token("Pod", "lost")
        assert claims["node"] == {"name": "gone"}
        assert (await here.extra(token)).items() >= {"node-name": "gone", "pod-name": "lost"}.items()
        token, claims = await here.token("Pod", "placed")
        assert claims["node"] == {"name": "n1", "uid": node_uid}
        # What is said of the Node is not looked up again.
        of_node, claims = await here.token("Node", "n1")
        assert claims["node"] == {"name": "n1", "uid": node_uid} and "pod" not in claims
        assert await here.extra(of_node) == {"node-name": "n1", "node-uid": node_uid}
        assert (await shard.call("DELETE", f"{CORE}/nodes/n1", MASTER))[0] == 200
        assert (await here.extra(token)).items() >= {"node-name": "n1", "node-uid": node_uid}.items()
        with pytest.raises(InvalidToken, match="service account token has been invalidated"):
            await here.tokens.authenticate_token(of_node, ())


async def test_a_pod_of_another_account_binds_no_token() -> None:
    async with ServedShard() as shard:
        here = await place(shard)
        await here.make(f"{HERE}/pods", pod("web", serviceAccountName="other"))
        uid = (await here.make(f"{HERE}/pods", pod("plain")))["metadata"]["uid"]
        for name in ("web", "plain"):
            status, answer = await here.ask("Pod", name)
            text = 'cannot bind token for serviceaccount "robot" to pod running with different serviceaccount name.'
            assert (status, answer["message"]) == (400, text)
        # A Pod that names no account runs as the default one.
        assert (await here.ask("Pod", "plain", "default", uid=uid))[0] == 201
        status, answer = await here.ask("Pod", "plain", "default", uid="other")
        assert (status, answer["reason"]) == (409, "Conflict")


@pytest.mark.parametrize("kind", ["Pod", "Node"])
async def test_there_are_none_where_nothing_is_bound(kind: str) -> None:
    async with ServedShard() as shard:
        here = await place(shard, bound=False)
        status, answer = await here.ask(kind, "web")
        assert (status, answer["message"]) == (404, f'{kind.lower()}s "web" not found')


async def test_the_audit_event_of_a_new_token_names_it() -> None:
    async with ServedShard() as shard:
        here = await place(shard)
        key = ("", "serviceaccounts", "token")
        issue, noted = shard.connectors[key], []

        async def noting(call: Call) -> Reply:
            reply = await issue(call)
            noted.append(dict(call.audit_annotations))
            return reply

        shard.connectors[key] = noting
        await here.make(f"{HERE}/pods", pod("web", serviceAccountName="robot"))
        token, _ = await here.token("Pod", "web")
        identity = await here.tokens.authenticate_token(token, ())
        assert identity is not None
        (credential,) = dict(identity.user.extra)[f"{EXTRA}credential-id"]
        assert noted == [{f"{EXTRA}issued-credential-id": credential}]
