"""However long the rules (CEL) of a definition are, they are checked and compiled in a thread. The loop runs few lines of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson
import pytest

from tenantry.apiserver.admission.chain import AdmissionChain
from tenantry.apiserver.admission.review import Review
from tenantry.kube.objects import Object
from tenantry.kube.schema import cel
from tenantry.kube.schema.cel_rules import compile_rules
from tenantry.kube.schema.parse import from_openapi
from tenantry.kube.schema.validate import ABSENT
from tenantry.storage.keys import Key
from tenantry.storage.record import Head, Record
from tenantry.tenancy.resources import CUSTOM_RESOURCE_DEFINITIONS
from tests.growth.meter import assert_linear
from tests.growth.test_api_turns import bare_shard
from tests.growth.turns import counted_turns
from tests.support.clusters import CLUSTER, ServedCluster
from tests.support.clusters import definition as plain_definition
from tests.support.people import MASTER

LINES_OF_A_TURN = 12_000
GROUP = "g.example.com"
NAMES = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
CRDS = f"/clusters/{CLUSTER}/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SCHEMAS = f"/clusters/{CLUSTER}/apis/apis.kcp.io/v1alpha1/apiresourceschemas"
THINGS = f"/clusters/{CLUSTER}/apis/{GROUP}/v1/things"


def rule(number: int, length: int = 1_500) -> Object:
    """One that is true, and of which no other text is remembered."""
    return {"rule": f"self.n < {1_000 + number}" + " && self.n < 99" * (length // 15)}


def schema(rules: int = 20, length: int = 1_500) -> Object:
    spec = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "x-kubernetes-validations": [rule(number, length) for number in range(rules)],
    }
    return {"type": "object", "properties": {"spec": spec}}


def definition(rules: int = 20, **metadata: Any) -> Object:
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema(rules)}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.{GROUP}", **metadata},
        "spec": {"group": GROUP, "scope": "Cluster", "names": NAMES, "versions": [version]},
    }


def api_resource_schema(rules: int = 20, **metadata: Any) -> Object:
    made = definition(rules)
    made["spec"]["versions"][0]["schema"] = schema(rules)
    head = {"apiVersion": "apis.kcp.io/v1alpha1", "kind": "APIResourceSchema"}
    return {**made, **head, "metadata": {"name": f"v1.things.{GROUP}", **metadata}}


async def used(shard: ServedCluster) -> None:
    """Short definitions are looked at, so that all is loaded and compiled that does not depend on them."""
    for path, body in ((CRDS, definition(1)), (SCHEMAS, api_resource_schema(1))):
        status, answer = await shard.call("POST", path, MASTER, body, "dryRun=All")
        assert status == 201, answer


def established() -> Record:
    obj = definition(uid="uid", generation=1)
    obj["spec"]["conversion"] = {"strategy": "None"}
    conditions = [{"type": "Established", "status": "True"}]
    obj["status"] = {"acceptedNames": NAMES, "conditions": conditions, "storedVersions": ["v1"]}
    return Record(Key(CLUSTER, CUSTOM_RESOURCE_DEFINITIONS, "", f"things.{GROUP}"), orjson.dumps(obj), 1, Head("uid"))


async def answered(
    monkeypatch: pytest.MonkeyPatch, shard: ServedCluster, method: str, path: str, body: Object, content_type: str = ""
) -> tuple[int, Any]:
    """The answer, made in turns of few lines. The type that is written was used before."""
    with counted_turns(monkeypatch) as turn:
        status, answer = await shard.call(method, path, MASTER, body, **({"content_type": content_type} if content_type else {}))
    assert 0 < turn.longest < LINES_OF_A_TURN, f"{turn.longest} lines in one turn, most of them in {turn.where}"
    return status, answer


@pytest.mark.parametrize("valid", [True, False])
async def test_api_resource_schemas_are_checked_in_a_thread(monkeypatch: pytest.MonkeyPatch, valid: bool) -> None:
    body = api_resource_schema()
    if not valid:
        body["spec"]["versions"][0]["schema"]["properties"]["spec"]["x-kubernetes-validations"].append({"rule": "self.x"})
    async with bare_shard(iter(())) as shard:
        await used(shard)
        status, answer = await answered(monkeypatch, shard, "POST", SCHEMAS, body)
        assert status == (201 if valid else 403), answer
        if not valid:
            assert "undefined field 'x'" in answer["message"]


async def test_definitions_are_checked_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bare_shard(iter(())) as shard:
        await used(shard)
        status, answer = await answered(monkeypatch, shard, "POST", CRDS, definition())
        assert status == 201, answer


async def test_so_they_are_where_a_plugin_fails_on_a_wrong_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plugins run before the object is validated."""

    def fails(chain: AdmissionChain, review: Review) -> None:
        raise TypeError

    async with bare_shard(iter(())) as shard:
        await used(shard)
        monkeypatch.setattr(AdmissionChain, "mutate", fails)
        body = definition()
        body["spec"]["names"] = {**NAMES, "kind": "?"}
        status, answer = await answered(monkeypatch, shard, "POST", CRDS, body)
        assert status == 422, answer


async def test_rules_that_stay_are_not_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bare_shard(iter((established(),))) as shard:
        assert (await shard.call("GET", THINGS, MASTER))[0] == 200
        labels, merge = {"metadata": {"labels": {"a": "b"}}}, "application/merge-patch+json"
        # What is made once in a process, when the first CustomResourceDefinition is patched, is not counted.
        await shard.post("customresourcedefinitions", plain_definition("others", "Other"), "")
        await shard.patch("customresourcedefinitions", "others.x.example", labels, "")
        status, answer = await answered(monkeypatch, shard, "PATCH", f"{CRDS}/things.{GROUP}", labels, merge)
        assert status == 200, answer


async def test_stored_rules_are_compiled_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a restart, when the first object of a type is written."""
    async with bare_shard(iter((established(),))) as shard:
        assert (await shard.call("GET", THINGS, MASTER))[0] == 200
        for name in ("a", "b"):
            body = {"apiVersion": f"{GROUP}/v1", "kind": "Thing", "metadata": {"name": name}, "spec": {"n": 1}}
            cel.programs.clear()
            status, answer = await answered(monkeypatch, shard, "POST", THINGS, body)
            assert status == 201, answer


def test_rules_of_which_no_program_is_kept_are_compiled_in_a_thread() -> None:
    run = compile_rules(from_openapi(schema(4, 300)["properties"]["spec"]))
    assert run is not None
    cel.programs.clear()
    with pytest.raises(cel.LoopBudgetExceeded):
        run({"n": 1}, ABSENT, [], True)
    assert run({"n": 1}, ABSENT, [], False) == []
    assert run({"n": 1}, ABSENT, [], True) == []
    cel.programs.clear()
    with pytest.raises(cel.LoopBudgetExceeded):
        run({"n": 1}, ABSENT, [], True)


def test_what_objects_are_checked_with_grows_with_the_rules() -> None:
    def make(n: int) -> Callable[[], object]:
        rules = from_openapi(schema(n, 30)["properties"]["spec"])

        def run() -> None:
            check = compile_rules(rules)
            assert check is not None
            with suppress(cel.LoopBudgetExceeded):
                check({"n": 1}, ABSENT, [], False)

        return run

    assert_linear(make, small=32)
