"""The view in docs/virtual-workspaces.md does what the page says."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from tenantry.cli.view_check.run import CHECKS, FAILED, SKIPPED, check
from tenantry.kube.objects import Object
from tenantry.virtual.view import View, ViewContext
from tests.support.people import person
from tests.support.tenancies import ServedShard
from tests.virtual.watching import Watch

PAGE = Path(__file__).parents[2] / "docs" / "virtual-workspaces.md"
CLUSTERS = ("rteam00000000000", "000team000000000")


def names_of(example: str) -> dict[str, Any]:
    """What an example of the page defines."""
    found = re.search(rf"<!-- example: {example} -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    names: dict[str, Any] = {}
    exec(compile(found.group(1), str(PAGE), "exec"), names)
    return names


def example(name: str = "published") -> type[View]:
    view: type[View] = names_of(name)[name.capitalize()]
    return view


def test_the_page_names_all_of_a_view_and_its_context() -> None:
    page = PAGE.read_text()
    names = [
        *(name for name in vars(View) if not name.startswith("_")),
        *(f"context.{each.name}" for each in fields(ViewContext)),
    ]
    assert [name for name in names if f"{name}`" not in page and f"{name}(" not in page] == ["api_set"]


async def test_the_view_on_the_page() -> None:
    async with ServedShard(example()) as shard:
        for cluster in CLUSTERS:
            await shard.cluster(cluster)
            labels = {"published": "yes"}
            await shard.put(
                cluster,
                "",
                "configmaps",
                {"metadata": {"name": "open", "namespace": "default", "labels": labels}, "data": {"a": "b"}},
            )
            await shard.put(cluster, "", "configmaps", {"metadata": {"name": "shut", "namespace": "default"}, "data": {"a": "b"}})
        somebody = person("somebody")
        for name, cluster in zip(("root", "range-2"), CLUSTERS, strict=True):
            base = f"/ranges/{name}/services/published/clusters"
            status, found = await shard.call("GET", f"{base}/*/api/v1/configmaps", somebody)
            assert status == 200
            assert [
                (o["metadata"]["name"], o["metadata"]["annotations"]["kcp.io/cluster"], o["data"]) for o in found["items"]
            ] == [("open", cluster, {"a": "…"})]
            status, one = await shard.call("GET", f"{base}/{cluster}/api/v1/namespaces/default/configmaps/open", somebody)
            assert (status, one["data"]) == (200, {"a": "…"})
            status, _ = await shard.call("GET", f"{base}/{cluster}/api/v1/namespaces/default/configmaps/shut", somebody)
            assert status == 404
            status, _ = await shard.call("DELETE", f"{base}/{cluster}/api/v1/namespaces/default/configmaps/open", somebody)
            assert status == 405
            status, listed = await shard.call("GET", f"{base}/*/api/v1", somebody)
            assert [(r["name"], r["verbs"]) for r in listed["resources"]] == [("configmaps", ["get", "list", "watch"])]


async def test_the_fixture_on_the_page() -> None:
    view = example()
    view.fixture = names_of("fixture")["FIXTURE"]
    outcomes = await check(view, [name for name in CHECKS if name != "budget"])
    assert [each for each in outcomes if each.result == FAILED] == []
    assert [each.check for each in outcomes if each.result == SKIPPED] == ["writes", "types"]


async def test_the_computed_view_on_the_page() -> None:
    (cluster, other), owner = CLUSTERS, person("owner")

    def config_map(name: str) -> Object:
        return {"metadata": {"name": name, "namespace": "default"}, "data": {"a": "b"}}

    async with ServedShard(example("counts")) as shard:
        for each in CLUSTERS:
            await shard.cluster(each, owner=owner.name)
        path = f"/services/counts/clusters/{cluster}/api/v1/configmaps"
        async with Watch(shard, path, owner) as watch:
            assert await watch.next() == ("ADDED", "configmaps")
            await shard.put(cluster, "", "configmaps", config_map("one"))
            assert await watch.next() == ("MODIFIED", "configmaps")
            await shard.put(other, "", "configmaps", config_map("one"))
            await shard.put(cluster, "", "configmaps", config_map("two"))
            assert await watch.next() == ("MODIFIED", "configmaps")
        status, found = await shard.call("GET", path, owner)
        assert (status, [obj["data"] for obj in found["items"]]) == (200, [{"count": "2"}])
        object_path = f"/services/counts/clusters/{cluster}/api/v1/namespaces/default/configmaps/configmaps"
        assert (await shard.call("GET", object_path, owner))[1]["data"] == {"count": "2"}
        assert (await shard.call("GET", path, person("somebody")))[0] == 403
