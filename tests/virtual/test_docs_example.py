"""The views in docs/virtual-workspaces.md do what the page says."""

from __future__ import annotations

import re
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from tenantry.cli.view_check.run import CHECKS, FAILED, SKIPPED, check
from tenantry.kube.objects import Object
from tenantry.virtual.interface import AUTHENTICATED_GROUP, Fixture, Given, User
from tenantry.virtual.view import View, ViewContext
from tests.support.one_process import URL, running
from tests.support.people import MASTER, person
from tests.support.tenancies import ServedShard
from tests.virtual.watching import Watch

PAGE = Path(__file__).parents[2] / "docs" / "virtual-workspaces.md"
CLUSTERS = ("rteam00000000000", "000team000000000")


def text_of(example: str) -> str:
    found = re.search(rf"<!-- example: {example} -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def names_of(example: str) -> dict[str, Any]:
    """What an example of the page defines."""
    names: dict[str, Any] = {}
    exec(compile(text_of(example), str(PAGE), "exec"), names)
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


def test_every_example_in_python_is_run_here() -> None:
    page = PAGE.read_text()
    tested = {"published", "counts", "weights", "fixture", "machines"}
    assert set(re.findall(r"<!-- example: (\w+) -->\n```python\n", page)) == tested and page.count("```python") == len(tested)


def test_a_new_package_has_the_view_on_the_page() -> None:
    methods = text_of("published").partition('    name = "published"\n')[2]
    made = (files("tenantry.cli") / "view_template" / "view.py.txt").read_text()
    assert methods and methods in made.replace("LABEL in", '"published" in')


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
            ] == [("open", cluster, {"a": "..."})]
            status, one = await shard.call("GET", f"{base}/{cluster}/api/v1/namespaces/default/configmaps/open", somebody)
            assert (status, one["data"]) == (200, {"a": "..."})
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


def weight(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}


async def test_the_view_that_writes_on_the_page() -> None:
    cluster, ann = CLUSTERS[0], person("ann")
    async with ServedShard(example("weights")) as shard:
        await shard.cluster(cluster)
        stored = f"/clusters/{cluster}/api/v1/namespaces/default/configmaps"
        path = f"/services/weights/clusters/{cluster}/api/v1/namespaces/default/configmaps"
        code, made = await shard.call("POST", path, ann, body=weight("one", kilos="1.5"))
        assert (code, made["data"]) == (201, {"kilos": "1.5"})
        assert (await shard.call("GET", f"{stored}/one", MASTER))[1]["data"] == {"grams": "1500"}
        merge = "application/merge-patch+json"
        code, _ = await shard.call("PATCH", f"{path}/one", ann, body={"data": {"kilos": "2"}}, content_type=merge)
        assert (code, (await shard.call("GET", f"{stored}/one", MASTER))[1]["data"]) == (200, {"grams": "2000"})
        code, refused = await shard.call("POST", path, ann, body=weight("two", kilos="heavy"))
        assert (code, refused["message"]) == (400, "kilos is not a number")


async def test_the_view_that_writes_passes_the_checks() -> None:
    view = example("weights")
    view.fixture = Fixture(
        given=(Given("one", weight("stored", grams="1500")), Given("one", weight("other", text="none"))),
        allowed=(User("ann", (AUTHENTICATED_GROUP,)),),
        refused=(User("stranger"),),
        writes=(weight("written", kilos="1.5"),),
    )
    outcomes = await check(view, [name for name in CHECKS if name not in ("budget", "label-selectors")])
    assert [each for each in outcomes if each.result == FAILED] == []
    assert [each.check for each in outcomes if each.result == SKIPPED] == ["types"]


async def test_the_type_on_the_page(tmp_path: Path) -> None:
    async with running(tmp_path, views=[example("machines")]) as stack:
        cluster = await stack.workspace("root", "one")
        machines = f"/clusters/{cluster}/apis/example.com/v1/machines"
        machine = {"apiVersion": "example.com/v1", "kind": "Machine", "metadata": {"name": "press"}}
        assert (await stack.call("POST", machines, body=machine))[0] == 201

        async def urls() -> list[str] | None:
            found = (await stack.call("GET", f"{machines}/press"))[1]
            return (found.get("status") or {}).get("urls")

        places = await stack.eventually(urls)
        assert places == [f"{URL}/ranges/{info.name}/services/machines/{cluster}/press" for info in stack.map.ranges()]
        path = f"/services/machines/{cluster}/press/clusters/{cluster}/api/v1/configmaps"
        assert (await stack.call("GET", path))[0] == 200
        ann = person("ann")
        assert (await stack.call("GET", path, ann))[0] == 403
        rbac = f"/clusters/{cluster}/apis/rbac.authorization.k8s.io/v1"
        reads = {"apiGroups": ["example.com"], "resources": ["machines"], "verbs": ["read"]}
        role = {"metadata": {"name": "reader"}, "rules": [reads, {"nonResourceURLs": ["/"], "verbs": ["access"]}]}
        reference, subject = (
            {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
            for kind, name in (("ClusterRole", "reader"), ("User", "ann"))
        )
        binding = {"metadata": {"name": "reader"}, "roleRef": reference, "subjects": [subject]}
        for resource, body in (("clusterroles", role), ("clusterrolebindings", binding)):
            code, answer = await stack.call("POST", f"{rbac}/{resource}", body=body)
            assert code == 201, answer
        assert (await stack.call("GET", path, ann))[0] == 200
        assert (await stack.call("GET", path, person("other")))[0] == 403
