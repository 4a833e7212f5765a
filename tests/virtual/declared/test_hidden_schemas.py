"""Views that hide fields of unusual types: defaults of whole structures, hidden keys of lists, fields with two names."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tenantry.kube.objects import Object
from tenantry.kube.schema.parse import from_openapi
from tenantry.virtual.declared.hidden.carry_over import carry_over
from tests.support.people import MASTER
from tests.support.tenancies import ServedShard
from tests.virtual.declared.gates import ALL, APPLY, GATES, INSIDE, MERGE, STRATEGIC, TEXT, gate, read, stored, structure
from tests.virtual.declared.observatory import NEAR, PROVIDER, READER, config_maps, declare, observatory
from tests.virtual.declared.test_hidden_secrecy import NUMBER, keep, new_schema

LOCK = structure(maker=TEXT, key=TEXT)
LOCKED: Object = {**LOCK, "default": {"maker": "acme", "key": "spare"}}


@pytest.mark.parametrize(("media_type", "body"), [(MERGE, {"spec": {"size": 2}}), (APPLY, gate("one", size=2))])
async def test_a_default_of_the_whole_that_came_later(media_type: str, body: Any) -> None:
    """The view does not show it, so clients do not send it, and that removes nothing."""
    async with ServedShard() as shard:
        await keep(shard, structure(size=NUMBER, lock=LOCK), "spec.lock.key", size=1)
        await new_schema(shard, structure(size=NUMBER, lock=LOCKED))
        assert (await read(shard))["spec"] == {"size": 1}
        query = "fieldManager=m" + ("&force=true" if media_type == APPLY else "")
        status, answer = await shard.call("PATCH", f"{GATES}/one", READER, body, content_type=media_type, query=query)
        assert status == 200 and "spare" not in str(answer), answer
        assert (await stored(shard))["spec"] == {"size": 2, "lock": LOCKED["default"]}


def test_only_what_the_schema_adds_again_may_be_missing() -> None:
    """Not what differs from the default, nor an entry of a map, which has none."""
    schema = from_openapi(structure(lock=LOCKED, locks={"type": "object", "additionalProperties": LOCKED}))
    other = {"maker": "acme", "key": "mine"}
    for kept, paths, is_refused in (
        ({"lock": LOCKED["default"]}, [("lock", "key")], False),
        ({"lock": other}, [("lock", "key")], True),
        ({"locks": {"front": LOCKED["default"]}}, [("locks", "front", "key")], True),
    ):
        sent: Any = {name: {} for name in kept if name == "locks"}
        assert bool(carry_over(sent, copy.deepcopy(kept), paths, schema)) is is_refused, kept


async def test_a_list_whose_keys_are_hidden_is_applied_as_a_whole() -> None:
    """A client cannot name its items. Managers outside keep what they own, and conflicts do not have the keys."""
    users = {
        "type": "array",
        "items": {**structure(name=TEXT, role=TEXT), "required": ["name"]},
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    }
    hers = [{"name": "ann", "role": "boss"}, {"name": "bob", "role": "clerk"}]
    async with ServedShard() as shard:
        await keep(shard, structure(size=NUMBER, users=users), "spec.users.name", size=1, users=hers)
        before = _owned(await stored(shard), "owner")
        config = gate("one", users=[{"role": "chief"}, {"role": "clerk"}])
        query = "fieldManager=m"
        status, answer = await shard.call("PATCH", f"{GATES}/one", READER, config, content_type=APPLY, query=query)
        assert status == 409 and "ann" not in str(answer), answer
        assert [cause["field"] for cause in answer["details"]["causes"]] == [".spec.users"]
        status, answer = await shard.call(
            "PATCH", f"{GATES}/one", READER, config, content_type=APPLY, query=f"{query}&force=true"
        )
        assert (status, answer["spec"]["users"]) == (200, config["spec"]["users"])
        body = {"spec": {"users": [{"role": "chief"}, {"role": "smith"}]}}
        status, answer = await shard.call("PATCH", f"{GATES}/one", READER, body, content_type=MERGE, query="fieldManager=editor")
        assert (status, answer["spec"]) == (200, {"size": 1, **body["spec"]})
        whole = await stored(shard)
        assert whole["spec"]["users"] == [{"name": "ann", "role": "chief"}, {"name": "bob", "role": "smith"}]
        after = _owned(whole, "owner")
        assert after["f:spec"]["f:size"] == {}
        for name in ("ann", "bob"):
            item = f'k:{{"name":"{name}"}}'
            assert after["f:spec"]["f:users"][item] == before["f:spec"]["f:users"][item]
        assert _owned(whole, "editor") == {"f:spec": {"f:users": {}}}


def _owned(obj: Object, manager: str) -> Any:
    return next(entry["fieldsV1"] for entry in obj["metadata"]["managedFields"] if entry["manager"] == manager)


@pytest.mark.parametrize("media_type", [MERGE, STRATEGIC, APPLY])
async def test_a_hidden_field_is_not_written_by_another_name(media_type: str) -> None:
    """The stringData of a Secret becomes its data. It was left out, and the client was told that all was well."""
    async with ServedShard() as shard:
        entry = {"resource": "secrets", "verbs": ALL, "hiddenFields": ["data.key"]}
        await observatory(shard, claimed="secrets", resources=[entry])
        path = config_maps(NEAR).replace("configmaps", "secrets")
        secret: Object = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "one"}}
        refused = {**secret, "stringData": {"key": "x", "other": "y"}}
        status, answer = await shard.call("POST", path, READER, refused)
        assert (status, [cause["field"] for cause in answer["details"]["causes"]]) == (422, ["stringData.key"])
        query = "fieldManager=m"
        status, answer = await shard.call("PATCH", f"{path}/one", READER, refused, content_type=APPLY, query=query)
        assert (status, [cause["field"] for cause in answer["details"]["causes"]]) == (422, ["stringData.key"])
        status, answer = await shard.call("POST", path, READER, {**secret, "stringData": {"other": "y"}})
        assert (status, answer["data"]) == (201, {"other": "eQ=="})
        status, answer = await shard.call("PATCH", f"{path}/one", READER, refused, content_type=media_type, query=query)
        assert (status, [cause["field"] for cause in answer["details"]["causes"]]) == (422, ["stringData.key"])
        assert (shard.get(NEAR, "core/secrets", "one", "default") or {})["data"] == {"other": "eQ=="}


@pytest.mark.parametrize("hidden", [{}, {"hiddenFields": ["spec.secret"]}])
@pytest.mark.parametrize(("media_type", "body"), [(MERGE, {"spec": {"size": 2}}), (APPLY, gate("one", size=2))])
async def test_managers_of_versions_that_the_view_does_not_serve(hidden: Any, media_type: str, body: Any) -> None:
    """They keep what they own, as if the client had written to the type itself."""
    spec = structure(size=NUMBER, secret=TEXT, note=TEXT)
    versions = [{"name": name, "served": True, "storage": name == "v2", "schema": structure(spec=spec)} for name in ("v1", "v2")]
    names = {"plural": "gates", "singular": "gate", "kind": "Gate", "listKind": "GateList"}
    schema = {"group": "wild.west", "names": names, "scope": "Namespaced", "versions": versions}
    export = {"resources": [{"name": "gates", "group": "wild.west", "schema": "v1.gates.wild.west", "storage": {"crd": {}}}]}
    async with ServedShard() as shard:
        await observatory(shard)
        for plural, name, made in (("apiresourceschemas", "v1.gates.wild.west", schema), ("apiexports", "gates", export)):
            await shard.put(PROVIDER, "apis.kcp.io", plural, {"metadata": {"name": name}, "spec": made})
        await shard.until(lambda: shard.identity(PROVIDER, "gates"))
        await shard.bind(NEAR, "root:provider", "gates")
        entry = {"group": "wild.west", "resource": "gates", "version": "v1", "verbs": ALL, **hidden}
        await declare(shard, export={"name": "gates"}, resources=[entry])
        newer = {**gate("one", size=1, secret="hunter2", note="a"), "apiVersion": "wild.west/v2"}
        path = INSIDE.replace("/v1/", "/v2/")
        status, answer = await shard.call("POST", path, MASTER, newer, query="fieldManager=owner")
        assert status == 201, answer
        query = "fieldManager=m" + ("&force=true" if media_type == APPLY else "")
        status, answer = await shard.call("PATCH", f"{GATES}/one", READER, body, content_type=media_type, query=query)
        assert (status, answer["spec"]["size"]) == (200, 2), answer
        whole = (await shard.call("GET", f"{path}/one", MASTER))[1]
        assert whole["spec"] == {"size": 2, "secret": "hunter2", "note": "a"}
        assert _owned(whole, "owner") == {"f:spec": {".": {}, "f:note": {}, "f:secret": {}}}
