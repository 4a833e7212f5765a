"""Clients write to objects of which the view hides fields: what they see changes, and what they do not see stays."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tenantry.kube.objects import Object
from tenantry.virtual.declared.shown_definition import shown_definition
from tests.support.people import MASTER
from tests.support.tenancies import ServedShard
from tests.virtual.declared.gates import (
    ALL,
    APPLY,
    GATES,
    INSIDE,
    JSON_PATCH,
    MERGE,
    SHOWN,
    STORED,
    STRATEGIC,
    gate,
    gatehouse,
    read,
    stored,
)
from tests.virtual.declared.observatory import (
    CONFIG_MAPS,
    NEAR,
    READER,
    config_map,
    config_maps,
    declare,
    observatory,
    post,
)
from tests.virtual.watching import Watch

SECRETS = ("hunter2", "pass-of-ann", "pass-of-bob", "code-of-a", "code-of-b", "key-of-it", "trace-of-it")


@pytest.fixture
async def shard() -> AsyncIterator[ServedShard]:
    async with ServedShard() as started:
        await gatehouse(started)
        yield started


def changed(**spec: Any) -> Object:
    return {**copy.deepcopy(STORED), **spec}


def fields(answer: Any) -> dict[str, str]:
    """The fields that a refusal is about, with the texts."""
    return {cause["field"]: cause["message"] for cause in answer["details"]["causes"]}


async def test_update(shard: ServedShard) -> None:
    one = await read(shard)
    assert (one["spec"], one["status"]) == (SHOWN, {"phase": "Up"})
    assert set(one["metadata"]["annotations"]) == {"kcp.io/cluster"} and "managedFields" not in one["metadata"]
    one["spec"]["size"] = 4
    one["spec"]["users"] = [{"name": "cid"}, {"name": "bob", "role": "clerk"}, {"name": "ann", "role": "boss"}]
    one["spec"]["steps"][1]["run"] = "B"
    status, answer = await shard.call("PUT", f"{GATES}/one", READER, one, query="fieldManager=editor")
    assert (status, answer["spec"]) == (200, one["spec"]), answer
    assert not [secret for secret in SECRETS if secret in str(answer)]
    whole = await stored(shard)
    assert whole["spec"] == changed(
        size=4,
        users=[
            {"name": "cid"},
            {"name": "bob", "role": "clerk", "password": "pass-of-bob"},
            {"name": "ann", "role": "boss", "password": "pass-of-ann"},
        ],
        steps=[{"run": "a", "code": "code-of-a"}, {"run": "B", "code": "code-of-b"}, {"run": "c"}],
    )
    assert whole["status"] == {"phase": "Up", "trace": "trace-of-it"}
    assert whole["metadata"]["annotations"] == {"kcp.io/cluster": NEAR, "example.com/whole": "hunter2"}
    assert whole["metadata"]["generation"] == 2
    # The same again changes nothing.
    status, again = await shard.call("PUT", f"{GATES}/one", READER, answer, query="fieldManager=editor")
    assert (status, again["metadata"]["resourceVersion"]) == (200, answer["metadata"]["resourceVersion"])


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        (MERGE, {"spec": {"size": 5, "secret": None}}),
        (
            JSON_PATCH,
            [
                {"op": "test", "path": "/spec/users/0", "value": SHOWN["users"][0]},
                {"op": "replace", "path": "/spec/size", "value": 5},
            ],
        ),
    ],
)
async def test_patches(shard: ServedShard, media_type: str, body: Any) -> None:
    """A merge patch that removes what the client does not see removes nothing."""
    status, answer = await shard.call("PATCH", f"{GATES}/one", READER, body, content_type=media_type, query="dryRun=All")
    assert (status, answer["spec"]["size"], "hunter2" in str(answer)) == (200, 5, False)
    assert (await stored(shard))["spec"] == STORED
    status, answer = await shard.call("PATCH", f"{GATES}/one", READER, body, content_type=media_type)
    assert (status, answer["spec"]) == (200, {**SHOWN, "size": 5})
    assert (await stored(shard))["spec"] == changed(size=5)


async def test_patches_do_not_tell_of_hidden_fields(shard: ServedShard) -> None:
    """For a patch they do not exist: a test fails, and there is nothing to copy and to remove."""
    for path, value in (("/spec/secret", "hunter2"), ("/metadata/managedFields/0/manager", "owner")):
        operation = {"op": "test", "path": path, "value": value}
        status, answer = await shard.call("PATCH", f"{GATES}/one", READER, [operation], content_type=JSON_PATCH)
        assert status in (400, 422), answer
    for operation in (
        {"op": "copy", "from": "/spec/secret", "path": "/spec/note"},
        {"op": "move", "from": "/spec/secret", "path": "/spec/note"},
        {"op": "copy", "from": "/metadata/managedFields/0/manager", "path": "/spec/note"},
        {"op": "remove", "path": "/spec/secret"},
    ):
        status, answer = await shard.call("PATCH", f"{GATES}/one", READER, [operation], content_type=JSON_PATCH)
        assert "hunter2" not in str(answer) and "owner" not in str(answer), answer
    assert (await stored(shard))["spec"] == STORED


async def test_what_sets_a_hidden_field_is_refused(shard: ServedShard) -> None:
    one = await read(shard)
    one["spec"].update(secret="", lock={"maker": "acme", "key": "x"})
    one["spec"]["users"][1]["password"] = "pass-of-bob"
    one["status"] = {"trace": "x"}
    one["metadata"]["annotations"]["a"] = "b"
    one["metadata"]["managedFields"] = []
    wanted = {
        *("spec.secret", "spec.users[1].password", "spec.lock.key", "status.trace"),
        *("metadata.managedFields", "metadata.annotations[a]"),
    }
    status, answer = await shard.call("PUT", f"{GATES}/one", READER, one)
    assert (status, set(fields(answer))) == (422, wanted), answer
    assert {cause["reason"] for cause in answer["details"]["causes"]} == {"FieldValueForbidden"}
    status, answer = await shard.call("POST", GATES, READER, gate("two", secret="x"))
    assert (status, list(fields(answer))) == (422, ["spec.secret"])
    for media_type, body in (
        (MERGE, {"spec": {"secret": "hunter2"}}),
        (JSON_PATCH, [{"op": "add", "path": "/spec/secret", "value": "x"}]),
        (APPLY, gate("one", secret="hunter2")),
        (APPLY, gate("two", secret="x")),
    ):
        name = body["metadata"]["name"] if isinstance(body, dict) and "metadata" in body else "one"
        status, answer = await shard.call(
            "PATCH",
            f"{GATES}/{name}",
            READER,
            body,
            content_type=media_type,
            query="fieldManager=m&force=true" if media_type == APPLY else "",
        )
        assert (status, list(fields(answer))) == (422, ["spec.secret"]), answer
    assert (await stored(shard))["spec"] == STORED


@pytest.mark.parametrize(
    ("edit", "field"),
    [
        (lambda spec: spec.pop("lock"), "spec.lock"),
        (lambda spec: spec["users"].pop(0), 'spec.users[name="ann"]'),
        (lambda spec: spec.pop("users"), "spec.users"),
        (lambda spec: spec["steps"].pop(2), "spec.steps"),
        (lambda spec: spec["steps"].reverse(), "spec.steps"),
        (lambda spec: spec["steps"].append({"run": "d"}), "spec.steps"),
        (lambda spec: spec["steps"].insert(0, {"run": "d"}), "spec.steps"),
        (lambda spec: spec.update(steps=[]), "spec.steps"),
    ],
)
async def test_what_would_lose_or_move_a_hidden_field_is_refused(
    shard: ServedShard, edit: Callable[[Any], object], field: str
) -> None:
    one = await read(shard)
    edit(one["spec"])
    status, answer = await shard.call("PUT", f"{GATES}/one", READER, one)
    assert (status, list(fields(answer))) == (422, [field]), answer
    assert "does not show" in fields(answer)[field]
    assert not [secret for secret in SECRETS if secret in str(answer)]
    assert (await stored(shard))["spec"] == STORED


async def test_what_has_no_hidden_fields_may_go(shard: ServedShard) -> None:
    body = gate("two", users=[{"name": "ann"}], steps=[{"run": "a"}, {"run": "b"}], lock={"maker": "acme"})
    status, answer = await shard.call("POST", GATES, READER, body)
    assert status == 201, answer
    answer["spec"] = {"steps": [{"run": "b"}], "users": []}
    status, answer = await shard.call("PUT", f"{GATES}/two", READER, answer)
    assert (status, answer["spec"]) == (200, {"steps": [{"run": "b"}], "users": []})


async def test_create_leaves_hidden_fields_to_their_defaults(shard: ServedShard) -> None:
    status, answer = await shard.call("POST", GATES, READER, gate("two", size=1), query="dryRun=All")
    assert (status, answer["spec"]) == (201, {"size": 1})
    status, answer = await shard.call("POST", GATES, READER, gate("two", size=1), query="fieldManager=maker")
    assert (status, answer["spec"]) == (201, {"size": 1})
    whole = await stored(shard, "two")
    assert whole["spec"] == {"size": 1, "secret": "initial"}
    assert _managed(whole) == {"maker": {"f:spec": {".": {}, "f:size": {}}}}


def _managed(obj: Object) -> dict[str, Any]:
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"].get("managedFields") or ()}


async def test_apply(shard: ServedShard) -> None:
    """Managers keep what they own of the hidden fields, and conflicts are about shown ones."""
    before = _managed(await stored(shard))["owner"]["f:spec"]
    assert "f:secret" in before
    config = gate("one", size=9, users=[{"name": "ann", "role": "chief"}])
    query = "fieldManager=owner-2"
    status, answer = await shard.call("PATCH", f"{GATES}/one", READER, config, content_type=APPLY, query=query)
    assert status == 409 and set(fields(answer)) == {".spec.size", '.spec.users[name="ann"].role'}, answer
    status, answer = await shard.call("PATCH", f"{GATES}/one", READER, config, content_type=APPLY, query=f"{query}&force=true")
    assert (status, answer["spec"]["size"], answer["spec"]["users"]) == (
        200,
        9,
        [{"name": "ann", "role": "chief"}, {"name": "bob"}],
    )
    whole = await stored(shard)
    assert whole["spec"] == changed(size=9, users=[{**STORED["users"][0], "role": "chief"}, STORED["users"][1]])
    managed = _managed(whole)
    assert managed["owner"]["f:spec"]["f:secret"] == {} and "f:size" not in managed["owner"]["f:spec"]
    assert managed["owner"]["f:spec"]["f:users"]['k:{"name":"ann"}']["f:password"] == {}
    assert managed["owner-2"]["f:spec"] == {
        "f:size": {},
        "f:users": {'k:{"name":"ann"}': {".": {}, "f:name": {}, "f:role": {}}},
    }


async def test_an_applier_of_hidden_fields_loses_none_by_an_apply_through_the_view(shard: ServedShard) -> None:
    config = gate("three", size=1, secret="s-3", note="n")
    status, answer = await shard.call("PATCH", f"{INSIDE}/three", MASTER, config, content_type=APPLY, query="fieldManager=a")
    assert status == 201, answer
    status, answer = await shard.call(
        "PATCH", f"{GATES}/three", READER, gate("three", size=2), content_type=APPLY, query="fieldManager=a"
    )
    assert (status, answer["spec"]) == (200, {"size": 2})
    whole = await stored(shard, "three")
    assert whole["spec"] == {"size": 2, "secret": "s-3"}
    assert _managed(whole) == {"a": {"f:spec": {"f:secret": {}, "f:size": {}}}}
    status, answer = await shard.call(
        "PATCH", f"{INSIDE}/three", MASTER, gate("three", size=2), content_type=APPLY, query="fieldManager=a"
    )
    assert answer["spec"] == {"size": 2, "secret": "initial"}


async def test_subresources(shard: ServedShard) -> None:
    body = {"status": {"phase": "Down"}}
    status, answer = await shard.call("PATCH", f"{GATES}/one/status", READER, body, content_type=MERGE)
    assert (status, answer["status"], answer["spec"]) == (200, {"phase": "Down"}, SHOWN)
    one = await read(shard)
    one["spec"], one["status"] = {}, {"phase": "Up", "wings": 1}
    status, answer = await shard.call("PUT", f"{GATES}/one/status", READER, one)
    assert (status, answer["status"], answer["spec"]) == (200, {"phase": "Up", "wings": 1}, SHOWN)
    scale = {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "one"}, "spec": {"replicas": 2}}
    status, answer = await shard.call("PUT", f"{GATES}/one/scale", READER, scale)
    assert (status, answer["spec"], answer["status"]) == (200, {"replicas": 2}, {"replicas": 1})
    status, answer = await shard.call("PATCH", f"{GATES}/one/scale", READER, {"spec": {"replicas": 3}}, content_type=MERGE)
    assert (status, answer["spec"]) == (200, {"replicas": 3})
    status, answer = await shard.call(
        "PATCH",
        f"{GATES}/one/scale",
        READER,
        {**scale, "spec": {"replicas": 4}},
        content_type=APPLY,
        query="fieldManager=m&force=true",
    )
    assert (status, answer["spec"]) == (200, {"replicas": 4})
    whole = await stored(shard)
    assert whole["spec"] == changed(wings=4) and whole["status"] == {"phase": "Up", "wings": 1, "trace": "trace-of-it"}


async def test_a_scale_of_a_hidden_field_is_not_served() -> None:
    async with ServedShard() as shard:
        await gatehouse(shard, ("spec.wings",))
        assert (await shard.call("GET", f"{GATES}/one/scale", READER))[0] == 404
        assert (await shard.call("GET", f"{GATES}/one/status", READER))[0] == 200


async def test_refusals_of_validation_do_not_quote_hidden_fields(shard: ServedShard) -> None:
    for spec, field, text in (
        ({"size": 101}, "spec.size", "Invalid value: 101: spec.size in body should be less than or equal to 100"),
        ({"note": "tell"}, "spec", "Invalid value: why is not told, as the text may quote fields that this view does not show"),
        ({"note": "hunter2"}, "spec.secret", "Invalid value: this view does not show the field, and its value or its absence "),
    ):
        body = {"spec": spec}
        status, answer = await shard.call("PATCH", f"{GATES}/one", READER, body, content_type=MERGE)
        assert status == 422, answer
        assert list(fields(answer)) == [field] and "hunter2" not in str(answer), answer
        if field != "spec.size":
            assert fields(answer)[field].startswith(text), answer


async def test_deletes(shard: ServedShard) -> None:
    body = {"metadata": {"finalizers": ["example.com/wait"]}}
    status, answer = await shard.call("PATCH", f"{GATES}/one", READER, body, content_type=MERGE)
    assert status == 200, answer
    status, answer = await shard.call("DELETE", f"{GATES}/one", READER)
    assert (status, answer["spec"], "hunter2" in str(answer)) == (200, SHOWN, False)
    assert (await stored(shard))["spec"] == STORED
    status, answer = await shard.call("PATCH", f"{GATES}/one", READER, {"metadata": {"finalizers": None}}, content_type=MERGE)
    assert (status, answer["spec"]) == (200, SHOWN)
    assert (await shard.call("GET", f"{INSIDE}/one", MASTER))[0] == 404
    for name in ("a", "b"):
        assert (await shard.call("POST", INSIDE, MASTER, gate(name, **STORED)))[0] == 201
    status, answer = await shard.call("DELETE", GATES, READER)
    assert (status, len(answer["items"]), "hunter2" in str(answer)) == (200, 2, False)
    assert (await shard.call("GET", INSIDE, MASTER))[1]["items"] == []


async def test_other_representations_and_selectors(shard: ServedShard) -> None:
    table = "application/json;as=Table;g=meta.k8s.io;v=v1"
    for path, query in ((GATES, ""), (f"{GATES}/one", "includeObject=Object")):
        status, answer = await shard.call("GET", path, READER, query=query, accept=table)
        assert status == 200 and not [secret for secret in SECRETS if secret in str(answer)]
    body = {"spec": {"size": 8}}
    query = "includeObject=Object"
    status, answer = await shard.call("PATCH", f"{GATES}/one", READER, body, content_type=MERGE, accept=table, query=query)
    assert status == 200 and not [secret for secret in SECRETS if secret in str(answer)], answer
    for field in ("spec.secret", "spec.size"):
        status, answer = await shard.call("GET", GATES, READER, query=f"fieldSelector={field}=x")
        assert (status, answer["message"]) == (400, f"field label not supported: {field}")
    async with Watch(shard, GATES, READER) as watch:
        assert await watch.next() == ("ADDED", "one")
        await shard.call("PATCH", f"{GATES}/one", READER, {"spec": {"size": 7}}, content_type=MERGE)
        assert await watch.next() == ("MODIFIED", "one")
        assert "hunter2" not in str(watch.events)


async def test_what_is_written_stays_selected() -> None:
    """The declaration may select by hidden fields. A write that would move an object out of the selection is refused."""
    async with ServedShard() as shard:
        await gatehouse(shard, filter="object.spec.secret == 'hunter2' && object.spec.?size.orValue(0) < 10")
        status, answer = await shard.call("PATCH", f"{GATES}/one", READER, {"spec": {"size": 11}}, content_type=MERGE)
        assert status == 403 and "object does not match the filter of the view" in answer["message"]
        assert (await shard.call("POST", GATES, READER, gate("two", size=1)))[0] == 403
        assert (await shard.call("POST", INSIDE, MASTER, gate("two", size=1)))[0] == 201
        for method, path, body in (
            ("GET", f"{GATES}/two", None),
            ("PATCH", f"{GATES}/two", {"spec": {"size": 2}}),
            ("DELETE", f"{GATES}/two", None),
        ):
            assert (await shard.call(method, path, READER, body, content_type=MERGE))[0] == 404
        status, answer = await shard.call("PATCH", f"{GATES}/one", READER, {"spec": {"size": 9}}, content_type=MERGE)
        assert (status, answer["spec"]) == (200, {**SHOWN, "size": 9})


async def test_kubectls_annotation_is_that_of_the_view(shard: ServedShard) -> None:
    """What others applied is not shown, and what the view's users apply does not get in its place."""
    key = "kubectl.kubernetes.io/last-applied-configuration"
    mine = {"metadata": {"annotations": {key: "whole hunter2"}}}
    assert (await shard.call("PATCH", f"{INSIDE}/one", MASTER, mine, content_type=MERGE))[0] == 200
    assert key not in (await read(shard))["metadata"]["annotations"]
    ours = {"metadata": {"annotations": {key: "ours"}}}
    status, answer = await shard.call("PATCH", f"{GATES}/one", READER, ours, content_type=MERGE)
    assert (status, answer["metadata"]["annotations"][key]) == (200, "ours")
    assert (await stored(shard))["metadata"]["annotations"][key] == "whole hunter2"
    # With other hidden fields, it could tell of one that was shown.
    resource = {"group": "wild.west", "resource": "gates", "verbs": ["get", "update"], "hiddenFields": ["spec.size"]}
    await declare(shard, "narrow", export={"name": "gates"}, resources=[resource])
    status, answer = await shard.call("GET", f"{GATES.replace('/shown/', '/narrow/')}/one", MASTER)
    assert status == 200 and key not in answer["metadata"]["annotations"]
    status, answer = await shard.call(
        "PATCH", f"{GATES}/one", READER, {"metadata": {"annotations": {key: None}}}, content_type=MERGE
    )
    assert (status, set(answer["metadata"]["annotations"])) == (200, {"kcp.io/cluster"})
    assert set((await stored(shard))["metadata"]["annotations"]) == {"kcp.io/cluster", "example.com/whole", key}


async def test_a_built_in_type() -> None:
    """With its own patches. Clients in Go do not send an empty map."""
    async with ServedShard() as shard:
        await observatory(shard, resources=[{**CONFIG_MAPS, "verbs": ALL, "hiddenFields": ["data.key"]}])
        await config_map(shard, "one", data={"key": "secret", "other": "open"})
        path = config_maps(NEAR, obj="one")
        status, answer = await shard.call("PATCH", path, READER, {"data": {"a": "b"}}, content_type=STRATEGIC)
        assert (status, answer["data"]) == (200, {"other": "open", "a": "b"})
        del answer["data"]
        status, answer = await shard.call("PUT", path, READER, answer)
        assert status == 200 and not answer["data"], answer
        found = shard.get(NEAR, "core/configmaps", "one", "default") or {}
        assert found["data"] == {"key": "secret"} and found["metadata"]["annotations"]["example.com/all"] == "secret"
        status, answer = await shard.call("PATCH", path, READER, {"data": {"key": "x"}}, content_type=STRATEGIC)
        assert (status, list(fields(answer))) == (422, ["data.key"])
        status, answer = await shard.call("GET", path, READER, query="", accept="application/vnd.kubernetes.protobuf,*/*")
        assert "secret" not in str(answer)
        status, found = await shard.call("GET", config_maps(), READER)
        assert status == 200 and "secret" not in str(found)


async def test_defaults_of_a_built_in_type_are_not_taken_for_what_was_sent() -> None:
    """A Secret gets a type where none is sent."""
    async with ServedShard() as shard:
        entry = {"resource": "secrets", "verbs": ALL, "hiddenFields": ["type", "data.tls.key"]}
        await observatory(shard, claimed="secrets", resources=[entry])
        inside = f"/clusters/{NEAR}/api/v1/namespaces/default/secrets"
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "one"}, "type": "a/b", "data": {"tls.key": "aGk="}}
        assert (await shard.call("POST", inside, MASTER, body))[0] == 201
        path = config_maps(NEAR, obj="one").replace("configmaps", "secrets")
        status, answer = await shard.call("GET", path, READER)
        assert (status, answer.get("type"), answer["data"]) == (200, None, {})
        answer["data"] = {"tls.crt": "aG8="}
        status, answer = await shard.call("PUT", path, READER, answer)
        assert (status, answer["data"]) == (200, {"tls.crt": "aG8="})
        whole = (await shard.call("GET", f"{inside}/one", MASTER))[1]
        assert (whole["type"], whole["data"]) == ("a/b", {"tls.key": "aGk=", "tls.crt": "aG8="})
        status, answer = await shard.call("PUT", path, READER, {**answer, "data": {"tls.key": "aGk="}})
        assert (status, list(fields(answer))) == (422, ["data[tls.key]"])
        created = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "two"}, "data": {"a": "aGk="}}
        assert (await shard.call("POST", path.rpartition("/")[0], READER, created))[0] == 201
        assert (await shard.call("GET", f"{inside}/two", MASTER))[1]["type"] == "Opaque"


async def test_what_an_expression_makes_cannot_be_written() -> None:
    async with ServedShard() as shard:
        await observatory(shard)
        status, answer = await post(shard, resources=[{**CONFIG_MAPS, "verbs": ["get", "patch"], "show": "{}"}])
        assert status == 422 and "cannot be turned back into an object" in answer["message"]
        assert "leave fields out with hiddenFields" in answer["message"]
        entry = {"resource": "configmaps", "verbs": ["get", "patch"], "show": "{}"}
        served = shown_definition(shard.tenancy.definitions.get("", "configmaps"), entry, "mark")
        assert served is not None and served.verbs == ("get",)


async def test_a_heavy_write() -> None:
    """It is computed in a thread."""
    async with ServedShard() as shard:
        await observatory(shard, resources=[{**CONFIG_MAPS, "verbs": ALL, "hiddenFields": ["data.key"]}])
        await config_map(shard, "one", data={"key": "secret", **{f"k{number}": "x" * 100 for number in range(3000)}})
        path = config_maps(NEAR, obj="one")
        status, answer = await shard.call("PATCH", path, READER, {"data": {"k0": "y"}}, content_type=MERGE)
        assert (status, answer["data"]["k0"], len(answer["data"])) == (200, "y", 3000)
        answer["data"]["k1"] = "z"
        status, answer = await shard.call("PUT", path, READER, answer)
        assert (status, answer["data"]["k1"], "secret" in str(answer)) == (200, "z", False)
        found = (shard.get(NEAR, "core/configmaps", "one", "default") or {})["data"]
        assert (found["key"], found["k0"], found["k1"], len(found)) == ("secret", "y", "z", 3001)
        status, answer = await shard.call("PUT", path, READER, {**answer, "data": {**answer["data"], "key": "secret"}})
        assert (status, list(fields(answer))) == (422, ["data.key"])
