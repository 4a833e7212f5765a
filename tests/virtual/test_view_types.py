"""A type that a view brings is served in every logical cluster, is copied, and has the status that its function computes."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tenantry.kube.objects import Object
from tenantry.tenancy.controllers import view_statuses
from tenantry.tenancy.types import SystemDefinitions
from tenantry.virtual.installed_views import check_version
from tenantry.virtual.interface import View, ViewType
from tests.support.one_process import URL, Stack, running
from tests.support.people import person
from tests.virtual.machines import GROUP, SPEC, STALE_SECONDS, Machines, status

API = f"apis/{GROUP}/v1/machines"
MERGE = "application/merge-patch+json"


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with running(tmp_path, views=[Machines]) as started:
        yield started


def machine(name: str, **spec: Any) -> Object:
    return {"apiVersion": f"{GROUP}/v1", "kind": "Machine", "metadata": {"name": name}, "spec": spec}


async def with_status(stack: Stack, cluster: str, name: str, wanted: Any) -> Object:
    async def look() -> Object | None:
        _, found = await stack.call("GET", f"/clusters/{cluster}/{API}/{name}")
        return found if wanted(found.get("status") or {}) else None

    found: Object = await stack.eventually(look)
    return found


def condition(status: Object, kind: str) -> tuple[str, str]:
    found: Object = next((c for c in status.get("conditions") or () if c["type"] == kind), {})
    return found.get("status", ""), found.get("reason", "")


async def test_the_type_is_served_everywhere(stack: Stack) -> None:
    cluster = await stack.workspace("root", "one")
    for place in ("root", cluster):
        _, found = await stack.call("GET", f"/clusters/{place}/apis/{GROUP}/v1")
        assert [(r["name"], r.get("shortNames")) for r in found["resources"]] == [("machines", ["mc"]), ("machines/status", None)]
    assert (await stack.call("POST", f"/clusters/{cluster}/{API}", body=machine("a", size=1)))[0] == 201
    code, answer = await stack.call("POST", f"/clusters/{cluster}/{API}", body=machine("b", size=0))
    assert (code, "too small" in answer["message"]) == (422, True)
    _, rows = await stack.call("GET", f"/clusters/{cluster}/{API}", accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert [row["cells"] for row in rows["rows"]] == [["a", 1]]
    _, everywhere = await stack.call("GET", f"/clusters/*/{API}")
    assert [obj["metadata"]["name"] for obj in everywhere["items"]] == ["a"]


async def test_no_tenant_defines_it_again(stack: Stack) -> None:
    cluster = await stack.workspace("root", "one")
    metadata = {"name": f"machines.{GROUP}"}
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": metadata, "spec": SPEC}
    path = f"/clusters/{cluster}/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    code, answer = await stack.call("POST", path, body=crd)
    assert (code, "from an installed view" in answer["message"]) == (403, True)


async def test_urls_by_range(stack: Stack) -> None:
    cluster = await stack.workspace("root", "one")
    await stack.call("POST", f"/clusters/{cluster}/{API}", body=machine("a"))
    found = await with_status(stack, cluster, "a", lambda s: s.get("virtualWorkspaces"))
    names = sorted(info.name for info in stack.map.ranges())
    assert [each["url"] for each in found["status"]["virtualWorkspaces"]] == [
        f"{URL}/ranges/{name}/services/machines/{cluster}/a" for name in names
    ]
    assert found["metadata"]["generation"] == 1


async def test_a_heartbeat_that_does_not_come_is_noticed(stack: Stack) -> None:
    cluster = await stack.workspace("root", "one")
    await stack.call("POST", f"/clusters/{cluster}/{API}", body=machine("a"))
    last = datetime.now(UTC) - timedelta(seconds=STALE_SECONDS - 2)
    code, _ = await stack.call(
        "PATCH", f"/clusters/{cluster}/{API}/a/status", body={"status": {"heartbeat": last.isoformat()}}, content_type=MERGE
    )
    assert code == 200
    await with_status(stack, cluster, "a", lambda s: condition(s, "Ready") == ("True", ""))
    await with_status(stack, cluster, "a", lambda s: condition(s, "Ready") == ("False", "HeartbeatStale"))


async def test_errors_are_conditions_and_hold_up_nobody(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = await stack.workspace("root", "one")
    expected = {"raise": "RuntimeError", "shape": "ValueError"}
    for fail, reason in expected.items():
        await stack.call("POST", f"/clusters/{cluster}/{API}", body=machine(fail, fail=fail))
        found = await with_status(stack, cluster, fail, lambda s, r=reason: condition(s, "StatusComputed") == ("False", r))
        assert "secret" not in str(found)
    body = {"spec": {"fail": None}}
    await stack.call("PATCH", f"/clusters/{cluster}/{API}/raise", body=body, content_type=MERGE)
    await with_status(stack, cluster, "raise", lambda s: "conditions" not in s and s.get("virtualWorkspaces"))


async def test_one_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    ends = threading.Event()

    def hangs(obj: Object, urls: Any, now: datetime) -> tuple[Object, float | None]:
        asked.append(obj["metadata"]["name"])
        ends.wait()
        return {}, None

    class Hanging(Machines):
        types = (replace(Machines.types[0], status=hangs),)

    monkeypatch.setattr(view_statuses, "CALL_SECONDS", 0.05)
    async with running(tmp_path, views=[Hanging]) as stack:
        cluster = await stack.workspace("root", "one")
        for name in ("a", "b"):
            await stack.call("POST", f"/clusters/{cluster}/{API}", body=machine(name))
            await with_status(stack, cluster, name, lambda s: condition(s, "StatusComputed") == ("False", "TimeoutError"))
        assert asked == ["a"]
        ends.set()


async def test_copies_decide_on_every_shard(tmp_path: Path) -> None:
    async with running(tmp_path, views=[Machines], shards=2, capacity=1) as stack:
        clusters = [await stack.workspace("root", name) for name in ("one", "two", "three")]
        homes = {stack.tenancy_of(cluster).name for cluster in clusters}
        assert len(homes) == 2
        first = clusters[0]
        await stack.call("POST", f"/clusters/{first}/{API}", body=machine("a"))
        rbac = f"/clusters/{first}/apis/rbac.authorization.k8s.io/v1"
        rule = {"apiGroups": [GROUP], "resources": ["machines"], "verbs": ["sync"]}
        access = {"nonResourceURLs": ["/"], "verbs": ["access"]}
        await stack.call("POST", f"{rbac}/clusterroles", body={"metadata": {"name": "sync"}, "rules": [rule, access]})
        subject = {"kind": "User", "name": "agent", "apiGroup": "rbac.authorization.k8s.io"}
        reference = {"kind": "ClusterRole", "name": "sync", "apiGroup": "rbac.authorization.k8s.io"}
        binding = {"metadata": {"name": "sync"}, "subjects": [subject], "roleRef": reference}
        code, answer = await stack.call("POST", f"{rbac}/clusterrolebindings", body=binding)
        assert code == 201, answer
        agent = person("agent")
        for name in {stack.tenancy.range_map.range_of(cluster).name for cluster in clusters}:  # type: ignore[union-attr]
            path = f"/ranges/{name}/services/machines/{first}"

            async def allowed(path: str = path) -> bool:
                return (await stack.call("GET", f"{path}/a/clusters/*/api/v1/configmaps", agent))[0] == 200

            await stack.eventually(allowed)
            assert (await stack.call("GET", f"{path}/b/clusters/*/api/v1/configmaps", agent))[0] == 403
            assert (await stack.call("GET", f"{path}/a/clusters/*/api/v1/configmaps", person("other")))[0] == 403


async def test_a_part_is_copied(tmp_path: Path) -> None:
    def part(obj: Object) -> Object | None:
        size = obj.pop("spec", {})["size"]
        return {"metadata": obj["metadata"], "size": size}

    class Parts(Machines):
        types = (replace(Machines.types[0], copied=part),)

    async with running(tmp_path, views=[Parts]) as stack:
        cluster = await stack.workspace("root", "one")
        copies = stack.tenancy.catalog
        assert (await stack.call("POST", f"/clusters/{cluster}/{API}", body=machine("a", size=2)))[0] == 201
        assert (copies.get(f"{GROUP}/machines", cluster, "a") or {})["size"] == 2
        # One without a size: the function fails, and the object is stored.
        assert (await stack.call("POST", f"/clusters/{cluster}/{API}", body=machine("b")))[0] == 201
        assert copies.get(f"{GROUP}/machines", cluster, "b") is None
        _, found = await stack.call("GET", f"/clusters/{cluster}/{API}/a")
        assert found["spec"] == {"size": 2}
        assert (await stack.call("DELETE", f"/clusters/{cluster}/{API}/a"))[0] == 200
        assert copies.get(f"{GROUP}/machines", cluster, "a") is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"group": "apis.kcp.io"}, "reserved"),
        ({"group": "rbac.authorization.k8s.io"}, "protected groups"),
        ({"group": "tenancy.kcp.io"}, "reserved"),
        ({"scope": "Namespaced"}, "has namespaces"),
        ({"versions": []}, "spec.versions"),
        ({"names": {}}, "wrong form"),
    ],
)
def test_wrong_types(change: Object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        SystemDefinitions([(ViewType(spec={**SPEC, **change}, copied=True), "machines")])


def test_two_views_with_one_type() -> None:
    with pytest.raises(ValueError, match=f"machines.{GROUP}: machines and others; uninstall"):
        SystemDefinitions([(ViewType(spec=SPEC, status=status), "machines"), (ViewType(spec=SPEC), "others")])


@pytest.mark.parametrize("needed", ["", "1.0", "1.1"])
def test_a_version_that_fits(needed: str) -> None:
    class Fits(View):
        interface = needed

    check_version(Fits, "1.1")


@pytest.mark.parametrize("needed", ["1.2", "2.0", "0.9", "x"])
def test_a_version_that_does_not_fit(needed: str) -> None:
    class Fits(View):
        interface = needed

    with pytest.raises(ValueError, match=rf"Fits.*{needed}"):
        check_version(Fits, "1.1")
