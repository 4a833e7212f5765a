"""Clients write what they see, and the view says what is stored."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from tenantry.kube.definition import STANDARD_VERBS
from tenantry.tenancy.resources import CONFIG_MAPS
from tenantry.virtual.interface import (
    Attributes,
    Object,
    Place,
    ResourceDefinition,
    User,
    View,
    ViewType,
    bad_request,
)
from tests.support.people import person
from tests.support.tenancies import ServedShard
from tests.virtual.watching import Watch

GROUP = "parcels.example.com"
CLUSTER = "rteam00000000000"
ANN = person("ann")
MERGE, JSON_PATCH, STRATEGIC, APPLY = (
    f"application/{name}" for name in ("merge-patch+json", "json-patch+json", "strategic-merge-patch+json", "apply-patch+yaml")
)
FIELDS = {name: {"type": "integer"} for name in ("grams", "kilos")}
SPEC: Object = {
    "group": GROUP,
    "names": {"plural": "parcels", "singular": "parcel", "kind": "Parcel", "listKind": "ParcelList"},
    "scope": "Cluster",
    "versions": [
        {
            "name": "v1",
            "served": True,
            "storage": True,
            "subresources": {
                "status": {},
                "scale": {"specReplicasPath": ".spec.kilos", "statusReplicasPath": ".status.kilos"},
            },
            "schema": {
                "type": "object",
                "properties": {
                    "spec": {
                        "type": "object",
                        "properties": {**FIELDS, "owner": {"type": "string"}, "note": {"type": "string"}},
                        "x-kubernetes-validations": [{"rule": "!has(self.grams) || self.grams < 9000", "message": "too heavy"}],
                    },
                    "status": {"type": "object", "properties": {**FIELDS, "phase": {"type": "string"}}},
                },
            },
        }
    ],
}


class Kilos(View):
    """Parcels with their weight in kilos, which is stored in grams. Owners are not shown. ConfigMaps are shown in capitals."""

    name = "kilos"
    verbs = STANDARD_VERBS
    subresources = ("status", "scale")
    types = (ViewType(spec=SPEC),)

    def allows(self, place: Place, question: Attributes) -> bool:
        return True

    def apis(self, place: Place) -> Iterable[ResourceDefinition]:
        return [self.definition(GROUP, "parcels"), self.definition("", "configmaps")]

    def show(self, place: Place, user: User, obj: Object) -> Object:
        for part in ("spec", "status"):
            inner = obj.get(part) or {}
            if "grams" in inner:
                inner["kilos"] = inner.pop("grams") // 1000
            inner.pop("owner", None)
        if "data" in obj:
            obj["data"] = {key: value.upper() for key, value in obj["data"].items()}
        # A view may hide them.
        obj["metadata"].pop("managedFields", None)
        return obj

    def store(self, place: Place, user: User, shown: Object, stored: Object | None) -> Object:
        for part in ("spec", "status"):
            inner = shown.get(part) or {}
            if "kilos" in inner:
                inner["grams"] = inner.pop("kilos") * 1000
        if (shown.get("spec") or {}).get("note") == "refuse":
            raise bad_request("not this one")
        if shown["kind"] == "Parcel":
            owner = stored["spec"]["owner"] if stored is not None else user.name
            shown.setdefault("spec", {})["owner"] = owner
        if "data" in shown:
            shown["data"] = {key: value.lower() for key, value in shown["data"].items()}
        shown["metadata"]["name"] = "another"
        return {**shown, "kind": "Nothing"}


@pytest.fixture
async def shard() -> AsyncIterator[ServedShard]:
    async with ServedShard(Kilos) as started:
        await started.cluster(CLUSTER, owner="ann")
        yield started


VIEW = f"/services/kilos/clusters/{CLUSTER}"
PATH = f"{VIEW}/apis/{GROUP}/v1/parcels"
MAPS = f"{VIEW}/api/v1/namespaces/default/configmaps"


def parcel(name: str, **spec: Any) -> Object:
    return {"apiVersion": f"{GROUP}/v1", "kind": "Parcel", "metadata": {"name": name}, "spec": spec}


def kept(shard: ServedShard, name: str = "a") -> Object:
    found = shard.get(CLUSTER, f"{GROUP}/parcels", name)
    assert found is not None
    return found


def managers(obj: Object) -> dict[str, Any]:
    return {entry["manager"]: entry["fieldsV1"].get("f:spec") for entry in obj["metadata"]["managedFields"]}


async def made(shard: ServedShard, **spec: Any) -> Object:
    status, answer = await shard.call("POST", PATH, ANN, parcel("a", **spec), query="fieldManager=maker")
    assert status == 201, answer
    return dict(answer)


async def test_create(shard: ServedShard) -> None:
    answer = await made(shard, kilos=2, owner="me")
    assert answer["spec"] == {"kilos": 2} and answer["kind"] == "Parcel"
    stored = kept(shard)
    assert stored["spec"] == {"grams": 2000, "owner": "ann"} and stored["metadata"]["name"] == "a"
    assert managers(stored) == {"maker": {".": {}, "f:kilos": {}, "f:owner": {}}}
    assert (await shard.call("POST", PATH, ANN, parcel("a")))[0] == 409
    body = {**parcel("b"), "status": {"phase": "Sent"}}
    body["metadata"] = {"generateName": "b-"}
    status, answer = await shard.call("POST", PATH, ANN, body)
    assert status == 201 and answer["metadata"]["name"].startswith("b-") and "status" not in answer
    body["metadata"] = {"name": "c", "resourceVersion": "7"}
    assert (await shard.call("POST", PATH, ANN, body))[0] == 500


async def test_refusals(shard: ServedShard) -> None:
    assert (await shard.call("POST", PATH, ANN, parcel("a", note="refuse")))[1]["message"] == "not this one"
    status, answer = await shard.call("POST", PATH, ANN, parcel("a", kilos=9))
    assert (status, "too heavy" in answer["message"]) == (422, True)
    assert shard.get(CLUSTER, f"{GROUP}/parcels", "a") is None


async def test_update_and_its_precondition(shard: ServedShard) -> None:
    answer = await made(shard, kilos=2)
    old = answer["metadata"]["resourceVersion"]
    answer["spec"]["kilos"] = 3
    status, changed = await shard.call("PUT", f"{PATH}/a", ANN, answer, query="fieldManager=changer")
    assert (status, changed["spec"]) == (200, {"kilos": 3})
    assert kept(shard)["spec"] == {"grams": 3000, "owner": "ann"}
    assert managers(kept(shard))["changer"] == {"f:kilos": {}}
    assert changed["metadata"]["generation"] == 2
    answer["metadata"]["resourceVersion"] = old
    assert (await shard.call("PUT", f"{PATH}/a", ANN, answer))[0] == 409
    same = await shard.call("PUT", f"{PATH}/a", ANN, changed, query="fieldManager=changer")
    assert same[1]["metadata"]["resourceVersion"] == changed["metadata"]["resourceVersion"]


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        (MERGE, {"spec": {"kilos": 5}}),
        (JSON_PATCH, [{"op": "test", "path": "/spec/kilos", "value": 2}, {"op": "replace", "path": "/spec/kilos", "value": 5}]),
    ],
)
async def test_patches(shard: ServedShard, media_type: str, body: Any) -> None:
    await made(shard, kilos=2)
    status, answer = await shard.call("PATCH", f"{PATH}/a", ANN, body, content_type=media_type, query="dryRun=All")
    assert (status, answer["spec"]) == (200, {"kilos": 5})
    assert kept(shard)["spec"]["grams"] == 2000
    status, answer = await shard.call("PATCH", f"{PATH}/a", ANN, body, content_type=media_type)
    assert (status, answer["spec"]) == (200, {"kilos": 5})
    assert kept(shard)["spec"] == {"grams": 5000, "owner": "ann"}


async def test_a_patch_does_not_reach_managed_fields_that_the_view_hides(shard: ServedShard) -> None:
    await made(shard, kilos=2)
    before = managers(kept(shard))
    for operation in (
        {"op": "copy", "from": "/metadata/managedFields/0/manager", "path": "/spec/note"},
        {"op": "test", "path": "/metadata/managedFields/0/manager", "value": "maker"},
    ):
        status, answer = await shard.call("PATCH", f"{PATH}/a", ANN, [operation], content_type=JSON_PATCH)
        assert status in (400, 422) and "maker" not in answer["message"], answer
    assert managers(kept(shard)) == before


async def test_strategic_patch(shard: ServedShard) -> None:
    body = {"metadata": {"name": "a"}, "data": {"x": "Ab"}}
    assert (await shard.call("POST", MAPS, ANN, body))[1]["data"] == {"x": "AB"}
    status, answer = await shard.call("PATCH", f"{MAPS}/a", ANN, {"data": {"y": "Cd", "x": None}}, content_type=STRATEGIC)
    assert (status, answer["data"]) == (200, {"y": "CD"})
    assert (shard.get(CLUSTER, CONFIG_MAPS, "a", "default") or {})["data"] == {"y": "cd"}


async def test_apply(shard: ServedShard) -> None:
    async def applied(manager: str, query: str = "", **spec: Any) -> tuple[int, Any]:
        query = f"fieldManager={manager}{query}"
        return await shard.call("PATCH", f"{PATH}/a", ANN, parcel("a", **spec), content_type=APPLY, query=query)

    assert (await applied("one", kilos=2, note="x"))[0] == 201
    assert kept(shard)["spec"] == {"grams": 2000, "note": "x", "owner": "ann"}
    status, answer = await applied("two", kilos=3)
    assert (status, ".spec.kilos" in answer["message"]) == (409, True)
    assert (await applied("two", "&force=true", kilos=3))[1]["spec"] == {"kilos": 3, "note": "x"}
    assert managers(kept(shard)) == {"one": {"f:note": {}}, "two": {"f:kilos": {}}}
    # What a manager does not name any more goes.
    assert (await applied("one"))[1]["spec"] == {"kilos": 3}
    assert kept(shard)["spec"] == {"grams": 3000, "owner": "ann"}
    version = kept(shard)
    await applied("one")
    assert kept(shard) == version


async def test_subresources(shard: ServedShard) -> None:
    await made(shard, kilos=2)
    body = {"spec": {"kilos": 7}, "status": {"kilos": 4, "phase": "Sent"}}
    status, answer = await shard.call("PATCH", f"{PATH}/a/status", ANN, body, content_type=MERGE)
    assert (status, answer["spec"], answer["status"]) == (200, {"kilos": 2}, {"kilos": 4, "phase": "Sent"})
    assert kept(shard)["status"] == {"grams": 4000, "phase": "Sent"} and kept(shard)["spec"]["grams"] == 2000
    status, answer = await shard.call("PATCH", f"{PATH}/a", ANN, body | {"status": {"phase": "No"}}, content_type=MERGE)
    assert (status, answer["spec"]["kilos"], answer["status"]["phase"]) == (200, 7, "Sent")
    _, scale = await shard.call("GET", f"{PATH}/a/scale", ANN)
    assert (scale["spec"], scale["status"]) == ({"replicas": 7}, {"replicas": 4})
    status, scale = await shard.call("PATCH", f"{PATH}/a/scale", ANN, {"spec": {"replicas": 3}}, content_type=MERGE)
    assert (status, scale["spec"]) == (200, {"replicas": 3})
    assert kept(shard)["spec"] == {"grams": 3000, "owner": "ann"}


async def test_deletes(shard: ServedShard) -> None:
    await made(shard, kilos=2)
    body = {"metadata": {"finalizers": ["example.com/wait"]}}
    await shard.call("PATCH", f"{PATH}/a", ANN, body, content_type=MERGE)
    status, answer = await shard.call("DELETE", f"{PATH}/a", ANN)
    assert (status, answer["spec"]) == (200, {"kilos": 2}) and answer["metadata"]["deletionTimestamp"]
    status, answer = await shard.call("PATCH", f"{PATH}/a", ANN, {"metadata": {"finalizers": None}}, content_type=MERGE)
    assert (status, answer["spec"]) == (200, {"kilos": 2})
    assert shard.get(CLUSTER, f"{GROUP}/parcels", "a") is None


async def test_a_heavy_write(shard: ServedShard) -> None:
    data = {f"k{number}": "Ab" for number in range(3000)}
    status, answer = await shard.call("POST", MAPS, ANN, {"metadata": {"name": "a"}, "data": data})
    assert (status, set(answer["data"].values())) == (201, {"AB"})
    status, answer = await shard.call("PATCH", f"{MAPS}/a", ANN, {"data": {"k0": "Xy"}}, content_type=MERGE)
    assert (status, answer["data"]["k0"], len(answer["data"])) == (200, "XY", 3000)
    assert (shard.get(CLUSTER, CONFIG_MAPS, "a", "default") or {})["data"]["k0"] == "xy"


async def test_a_watch_shows_the_same(shard: ServedShard) -> None:
    async with Watch(shard, PATH, ANN) as watch:
        await made(shard, kilos=2)
        assert await watch.next() == ("ADDED", "a")


def test_a_view_that_says_not_what_to_store() -> None:
    class Half(Kilos):
        name = "half"
        store = View.store

    with pytest.raises(ValueError, match=r"Half overrides `show`.*`store`"):
        ServedShard(Half)
