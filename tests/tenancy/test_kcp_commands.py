"""What kcp's kubectl plugins ask, replayed: `ws`, `create workspace`, `bind apiexport`, `claims` (reference: their sources)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tenantry.apiserver.user import User
from tenantry.kube.objects import Object
from tests.support.one_process import URL, WORKSPACES, Stack, running
from tests.support.people import ADMIN, person
from tests.tenancy.cowboys import EXPORT, SCHEMA

BINDINGS = "apis/apis.kcp.io/v1alpha2/apibindings"
ADA = person("ada")
EVE = person("eve")


class Denied(Exception):
    """The plugin would say that access is denied."""


class Plugin:
    """The plugins' requests as one user, and what they conclude from the answers. `url` is what a kubeconfig would hold."""

    def __init__(self, stack: Stack, who: User) -> None:
        self._stack = stack
        self._who = who
        self.url = f"{URL}/clusters/root"
        self.previous = ""

    async def get(self, path: str, query: str = "") -> tuple[int, Any]:
        return await self._stack.call("GET", path, self._who, query=query)

    async def send(self, method: str, path: str, body: Object) -> tuple[int, Any]:
        return await self._stack.call(method, path, self._who, body)

    @property
    def base(self) -> str:
        """The path of the current workspace."""
        return self.url.removeprefix(URL)

    async def use(self, path: str) -> list[Object]:
        """`ws <path>`: discovery, the Workspace in its parent, then the bindings to warn about; those are returned."""
        place = f"/clusters/{path}"
        denied = False
        for document in ("api", "apis"):
            status, answer = await self.get(f"{place}/{document}")
            denied = denied or status == 403 or not (answer.get("groups") or answer.get("versions"))
        parent, _, name = path.rpartition(":")
        if parent and parent != "user":
            status, _ = await self.get(f"/clusters/{parent}/{WORKSPACES}/{name}")
            if status == 404 and denied:
                raise LookupError(f'workspace "{path}" not found')
        if denied:
            raise Denied(path)
        self.previous, self.url = self.url, f"{URL}{place}"
        status, bindings = await self.get(f"{place}/{BINDINGS}")
        assert status in (200, 403, 404)
        return bindings.get("items") or []

    async def home(self) -> Object:
        """`ws ~`, with client-go's retries on 429."""

        async def ask() -> Object | None:
            reply = await self._stack.answer("GET", f"/clusters/root/{WORKSPACES}/~", self._who)
            assert reply.status == 200 or (reply.status, reply.headers.get("Retry-After")) == (429, "1")
            return (await self.get(f"/clusters/root/{WORKSPACES}/~"))[1] if reply.status == 200 else None

        found: Object = await self._stack.eventually(ask)
        return found

    async def create(self, name: str, *, ignore_existing: bool = False, enter: bool = False, **spec: Any) -> Object:
        """`ws create <name> [--type] [--location-selector] [--ignore-existing] [--enter]`."""
        body = {"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": name}, "spec": spec}
        status, made = await self.send("POST", f"{self.base}/{WORKSPACES}", body)
        if status == 409 and made["reason"] == "AlreadyExists" and ignore_existing:
            status, made = await self.get(f"{self.base}/{WORKSPACES}/{name}")
            assert status == 200
        assert status in (200, 201), made

        async def ready() -> Object | None:
            status, found = await self.get(f"{self.base}/{WORKSPACES}/{name}")
            return found if status == 200 and found["status"].get("phase") == "Ready" else None

        found: Object = await self._stack.eventually(ready)
        if enter:
            await self.use(found["spec"]["URL"].rpartition("/clusters/")[2])
        return found

    async def tree(self, path: str) -> dict[str, Any]:
        """`ws tree`."""
        status, found = await self.get(f"/clusters/{path}/{WORKSPACES}")
        assert status == 200, found
        return {w["metadata"]["name"]: await self.tree(f"{path}:{w['metadata']['name']}") for w in found["items"]}

    async def bindings_version(self) -> str:
        """The full discovery that `kcp bind` and `kcp claims` begin with; the preferred version of apibindings."""
        status, groups = await self.get(f"{self.base}/apis")
        assert status == 200
        group = next(g for g in groups["groups"] if g["name"] == "apis.kcp.io")
        preferred: str = group["preferredVersion"]["version"]
        for each in groups["groups"]:
            for version in each["versions"]:
                status, resources = await self.get(f"{self.base}/apis/{version['groupVersion']}")
                assert status == 200
                assert resources["kind"] == "APIResourceList"
        return preferred

    async def bind(self, path: str, name: str, **spec: Any) -> Object:
        """`kcp bind apiexport <path>:<name>`."""
        version = await self.bindings_version()
        reference = {"export": {"path": path, "name": name}}
        body = {
            "apiVersion": f"apis.kcp.io/{version}",
            "kind": "APIBinding",
            "metadata": {"name": name},
            "spec": {"reference": reference, **spec},
        }
        status, made = await self.send("POST", f"{self.base}/apis/apis.kcp.io/{version}/apibindings", body)
        assert status == 201, made

        async def bound() -> Object | None:
            status, found = await self.get(f"{self.base}/apis/apis.kcp.io/{version}/apibindings/{name}")
            return found if status == 200 and (found.get("status") or {}).get("phase") == "Bound" else None

        found: Object = await self._stack.eventually(bound)
        return found

    async def decide_claims(self, name: str, state: str) -> Object:
        """`kcp claims accept|reject <binding>`: GET, then PUT."""
        path = f"{self.base}/apis/apis.kcp.io/{await self.bindings_version()}/apibindings/{name}"
        _, found = await self.get(path)
        found["spec"]["permissionClaims"] = [
            {**{k: v for k, v in claim.items() if k != "defaultSelector"}, "selector": {"matchAll": True}, "state": state}
            for claim in found["status"]["exportPermissionClaims"]
        ]
        status, changed = await self.send("PUT", path, found)
        assert status == 200, changed
        return changed


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with running(tmp_path, shards=2, capacity=4) as started:
        yield started


async def test_home_create_enter_and_back(stack: Stack) -> None:
    plugin = Plugin(stack, ADA)
    home = await plugin.home()
    cluster = home["spec"]["cluster"]
    assert home["spec"]["URL"] == f"{URL}/clusters/{cluster}"
    await plugin.use(cluster)
    made = await plugin.create("project", enter=True)
    assert plugin.url == f"{URL}/clusters/user:ada:project" == made["spec"]["URL"]
    assert made["spec"]["type"]["name"] == "universal"
    await plugin.create("part", enter=True)
    assert plugin.base == "/clusters/user:ada:project:part"
    back = plugin.previous
    await plugin.use(back.rpartition("/clusters/")[2])
    assert plugin.base == "/clusters/user:ada:project", "ws -"
    assert await plugin.tree("user:ada") == {"project": {"part": {}}}
    status, found = await plugin.get("/clusters/user:ada:project/apis/core.kcp.io/v1alpha1/logicalclusters/cluster")
    assert (status, found["metadata"]["annotations"]["kcp.io/path"]) == (200, "user:ada:project"), "ws tree --wide"


async def test_use_of_what_is_not_there_and_of_what_is_not_ones_own(stack: Stack) -> None:
    admin, eve = Plugin(stack, ADMIN), Plugin(stack, EVE)
    await admin.create("org", enter=True)
    await admin.use("root:org")
    with pytest.raises(LookupError):
        await admin.use("root:nowhere")
    with pytest.raises(Denied):
        await eve.use("root:org")
    await eve.use("root")


async def test_the_bindings_of_a_workspace_tell_of_claims(stack: Stack) -> None:
    admin = Plugin(stack, ADMIN)
    await admin.create("org")
    bindings = await admin.use("root:org")
    assert {b["spec"]["reference"]["export"]["name"] for b in bindings} == {"tenancy.kcp.io", "topology.kcp.io"}
    assert all(not b["spec"].get("permissionClaims") for b in bindings)


async def test_create_with_type_selector_and_ignore_existing(stack: Stack) -> None:
    admin = Plugin(stack, ADMIN)
    where = {"selector": {"matchLabels": {"name": "root"}}}
    made = await admin.create("org", type={"name": "organization", "path": "root"}, location=where)
    assert made["metadata"]["annotations"]["core.kcp.io/shard"] == "root"
    again = await admin.create("org", ignore_existing=True)
    assert again["metadata"]["uid"] == made["metadata"]["uid"]
    with pytest.raises(AssertionError, match="409"):
        await admin.create("org")
    status, table = await stack.call(
        "GET", f"/clusters/root/{WORKSPACES}", ADMIN, accept="application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    )
    assert status == 200
    assert [c["name"] for c in table["columnDefinitions"]] == ["Name", "Type", "Region", "Phase", "URL", "Age"]
    assert table["rows"][0]["cells"][:4] == ["org", "organization", None, "Ready"] or table["rows"][0]["cells"][3] == "Ready"


async def test_tree_in_pages_and_with_what_is_in_it(stack: Stack) -> None:
    admin = Plugin(stack, ADMIN)
    for name in ("a", "b", "c"):
        await admin.create(name)
    await admin.use("root:a")
    await admin.create("inner")
    assert await admin.tree("root") == {"a": {"inner": {}}, "b": {}, "c": {}}
    status, page = await admin.get(f"/clusters/root/{WORKSPACES}", "limit=2")
    assert (status, len(page["items"]), page["metadata"]["remainingItemCount"]) == (200, 2, 1)
    for listed in ("v1alpha2/apiexports", "v1alpha1/apiexportendpointslices", "v1alpha2/apibindings"):
        assert (await admin.get(f"/clusters/root:a/apis/apis.kcp.io/{listed}"))[0] == 200


async def test_bind_and_claims(stack: Stack) -> None:
    admin = Plugin(stack, ADMIN)
    await admin.create("provider")
    await admin.create("consumer")
    claim = {"group": "", "resource": "configmaps", "verbs": ["*"]}
    export = {**EXPORT, "spec": {**EXPORT["spec"], "permissionClaims": [claim]}}
    for resource, body in (("v1alpha1/apiresourceschemas", SCHEMA), ("v1alpha2/apiexports", export)):
        status, answer = await admin.send("POST", f"/clusters/root:provider/apis/apis.kcp.io/{resource}", body)
        assert status == 201, answer
    assert (await admin.get("/clusters/root:provider/apis/apis.kcp.io/v1alpha1/apiexports/cowboys"))[0] == 200
    await admin.use("root:consumer")
    bound = await admin.bind("root:provider", "cowboys")
    assert [c["resource"] for c in bound["status"]["exportPermissionClaims"]] == ["configmaps"], "claims get"
    assert not bound["status"].get("appliedPermissionClaims")
    await admin.decide_claims("cowboys", "Accepted")
    path = f"{admin.base}/{BINDINGS}/cowboys"

    async def applied() -> bool:
        return bool((await admin.get(path))[1]["status"].get("appliedPermissionClaims"))

    await stack.eventually(applied)
    await admin.decide_claims("cowboys", "Rejected")

    async def withdrawn() -> bool:
        return not (await admin.get(path))[1]["status"].get("appliedPermissionClaims")

    await stack.eventually(withdrawn)
    bindings = await admin.use("root:consumer")
    assert {b["metadata"]["name"] for b in bindings} >= {"cowboys"}
