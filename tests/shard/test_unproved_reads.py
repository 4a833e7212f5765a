"""A shard whose session is not proved tells nothing from memory: others may have changed all of it."""

from __future__ import annotations

import math
from pathlib import Path

import orjson
import pytest

from tenantry.apiserver.forwarded import NOT_OWNER
from tenantry.apiserver.request import Request
from tenantry.apiserver.user import User
from tenantry.http.messages import Reply, Response
from tests.support.one_process import Stack, running
from tests.support.people import MASTER, person

ADA = person("ada")
REVIEW = {
    "apiVersion": "authorization.k8s.io/v1",
    "kind": "SelfSubjectAccessReview",
    "spec": {"resourceAttributes": {"verb": "get", "resource": "configmaps"}},
}
TOLD_FROM_MEMORY = [
    ("GET", "/clusters/{cluster}/api/v1/namespaces/default", MASTER),
    ("GET", "/clusters/{cluster}/api/v1/namespaces?watch=1", MASTER),
    ("POST", "/clusters/{cluster}/api/v1/namespaces", MASTER),
    # Which types there are, and which are not
    ("GET", "/clusters/{cluster}/apis", MASTER),
    ("GET", "/clusters/{cluster}/openapi/v3", MASTER),
    ("GET", "/clusters/{cluster}/apis/example.com/v1/cowboys", MASTER),
    # What RBAC says
    ("GET", "/clusters/{cluster}/api/v1/namespaces", ADA),
    ("POST", "/clusters/{cluster}/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", MASTER),
    # The other ways in
    ("GET", "/ranges/root/clusters/*/api/v1/namespaces", MASTER),
    ("GET", "/ranges/root/clusters/*/apis", MASTER),
    ("GET", "/services/initializingworkspaces/root:universal/clusters/*/apis", MASTER),
    ("GET", "/services/initializingworkspaces/root:universal/clusters/*/apis/core.kcp.io/v1alpha1/logicalclusters", MASTER),
    ("GET", "/services/apiexport/root/tenancy.kcp.io/clusters/*/apis", ADA),
    ("GET", "/apis", MASTER),
]


async def ask(stack: Stack, method: str, path: str, who: User) -> Reply:
    """Asks the shard itself, as a gateway does whose map is behind."""

    async def read(limit_bytes: int) -> bytes:
        return orjson.dumps(REVIEW) if method == "POST" else b""

    (shard,) = stack.shards.values()
    path, _, query = path.partition("?")
    return await shard.handle(Request(method, path, query, {"content-type": "application/json"}, read, user=who))


@pytest.mark.parametrize(("method", "path", "who"), TOLD_FROM_MEMORY)
async def test_nothing_is_answered_from_memory_that_is_not_proved(
    method: str, path: str, who: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as stack:
        path = path.format(cluster=await stack.workspace("root", "one"))
        before = await ask(stack, method, path, who)
        assert not isinstance(before, Response) or before.status != 503
        guard = stack.tenancy.cell.guard
        monkeypatch.setattr(guard, "_clock", lambda: math.inf)
        refused = await ask(stack, method, path, who)
        assert isinstance(refused, Response)
        assert (refused.status, refused.headers.get("Retry-After")) == (503, "1")
        assert NOT_OWNER in refused.headers
        monkeypatch.undo()


async def test_the_process_still_reports_its_health(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path) as stack:
        monkeypatch.setattr(stack.tenancy.cell.guard, "_clock", lambda: math.inf)
        for path in ("/livez", "/version"):
            answer = await ask(stack, "GET", path, MASTER)
            assert isinstance(answer, Response)
            assert answer.status == 200
        monkeypatch.undo()
