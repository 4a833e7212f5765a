"""What clients of a view with hidden fields are told in other ways than by the object: texts of rules, and warnings."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest

from tenantry.apiserver.request import Request
from tenantry.http.messages import Response
from tenantry.kube.objects import Object
from tests.support.people import MASTER
from tests.support.tenancies import ServedShard
from tests.virtual.declared.gates import ALL, GATES, INSIDE, MERGE, VERSION, gate, structure
from tests.virtual.declared.observatory import CONFIG_MAPS, NEAR, PROVIDER, READER, config_maps, declare, observatory

SECRET = {"type": "string", "maxLength": 64}
NUMBER = {"type": "integer"}


def version(spec: Object) -> Object:
    made = copy.deepcopy(VERSION)
    made["schema"]["properties"]["spec"] = spec
    return made


async def keep(shard: ServedShard, schema: Object, hidden: str, **spec: Any) -> None:
    """A view of gates with a spec of this schema, and a gate."""
    await observatory(shard)
    await shard.export(PROVIDER, "gates", version=version(schema))
    await shard.bind(NEAR, "root:provider", "gates")
    resource = {"group": "wild.west", "resource": "gates", "verbs": ALL, "hiddenFields": [hidden]}
    await declare(shard, export={"name": "gates"}, resources=[resource])
    status, answer = await shard.call("POST", INSIDE, MASTER, gate("one", **spec), query="fieldManager=owner")
    assert status == 201, answer


async def new_schema(shard: ServedShard, schema: Object) -> None:
    """The export has another schema for its gates from now on."""
    names = {"plural": "gates", "singular": "gate", "kind": "Gate", "listKind": "GateList"}
    spec = {"group": "wild.west", "names": names, "scope": "Namespaced", "versions": [version(schema)]}
    await shard.put(PROVIDER, "apis.kcp.io", "apiresourceschemas", {"metadata": {"name": "v2.gates.wild.west"}, "spec": spec})

    def changed(export: Object) -> None:
        export["spec"]["resources"][0]["schema"] = "v2.gates.wild.west"

    await shard.edit(PROVIDER, "apis.kcp.io", "apiexports", "gates", changed)
    await shard.idle()


async def patched(shard: ServedShard, path: str, body: Any) -> Response:
    async def read(limit_bytes: int) -> bytes:
        return orjson.dumps(body)

    reply = await shard.pipeline(Request("PATCH", path, "", {"content-type": MERGE}, read, user=READER))
    assert isinstance(reply, Response)
    return reply


def rules(*found: Object) -> Object:
    return {"x-kubernetes-validations": list(found)}


@pytest.mark.parametrize(
    "expression", ["int(self.secret) > 0", "self.doors[self.secret] > 0", "duration(self.secret) > duration('1s')"]
)
async def test_a_rule_that_fails_to_run_does_not_quote_what_it_reads(expression: str) -> None:
    """`no such key: hunter2`"""
    doors = {"type": "object", "additionalProperties": NUMBER, "maxProperties": 10}
    rule = {"rule": f"!has(self.size) || self.size != 5 || {expression}", "message": "a fixed one"}
    async with ServedShard() as shard:
        await keep(
            shard,
            {**structure(size=NUMBER, secret=SECRET, doors=doors), **rules(rule)},
            "spec.secret",
            secret="hunter2",
            doors={"front": 1},
        )
        status, answer = await shard.call("PATCH", f"{GATES}/one", READER, {"spec": {"size": 5}}, content_type=MERGE)
        assert status == 422 and "hunter2" not in str(answer), answer
        assert answer["details"]["causes"][0]["message"].startswith("Invalid value: why is not told")


async def test_computed_messages_of_names_with_dots() -> None:
    rule = {"rule": "!has(self.size) || self.size != 5", "messageExpression": "'the key is ' + self.key"}
    async with ServedShard() as shard:
        inner = {**structure(key=SECRET, size=NUMBER), **rules(rule)}
        await keep(shard, structure(**{"tls.conf": inner}), "spec.tls.conf.key", **{"tls.conf": {"key": "hunter2"}})
        body = {"spec": {"tls.conf": {"size": 5}}}
        status, answer = await shard.call("PATCH", f"{GATES}/one", READER, body, content_type=MERGE)
        assert status == 422 and "hunter2" not in str(answer), answer


async def test_warnings_do_not_quote_hidden_fields() -> None:
    """An unchanged part that breaks a new rule is a warning, with the text of the rule."""
    schema = structure(size=NUMBER, secret=SECRET)
    computed = {"rule": "self.secret != 'hunter2'", "messageExpression": "'the secret is ' + self.secret"}
    fixed = {"rule": "self.secret != 'hunter2'", "message": "choose a longer one"}
    async with ServedShard() as shard:
        await keep(shard, schema, "spec.secret", secret="hunter2")
        await new_schema(shard, {**schema, **rules(computed)})
        body = {"metadata": {"labels": {"a": "b"}}}
        reply = await patched(shard, f"{GATES}/one", body)
        assert (reply.status, list(reply.warnings or ())) == (200, [])
    async with ServedShard() as shard:
        await keep(shard, schema, "spec.secret", secret="hunter2")
        await new_schema(shard, {**schema, **rules(fixed)})
        reply = await patched(shard, f"{GATES}/one", body)
        assert (reply.status, list(reply.warnings or ())) == (200, ["spec: Invalid value: choose a longer one"])


async def test_warnings_of_built_in_types_are_not_told() -> None:
    """That of a Secret says whether a key is one."""
    async with ServedShard() as shard:
        entry = {"resource": "secrets", "verbs": ALL, "hiddenFields": ["data.tls.key"]}
        await observatory(shard, claimed="secrets", resources=[entry])
        inside = f"/clusters/{NEAR}/api/v1/namespaces/default/secrets"
        crt = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg=="
        data = {"tls.crt": crt, "tls.key": "aGk="}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "one"}, "type": "kubernetes.io/tls", "data": data}
        assert (await shard.call("POST", inside, MASTER, body))[0] == 201
        path = config_maps(NEAR, obj="one").replace(CONFIG_MAPS["resource"], "secrets")
        reply = await patched(shard, path, {"metadata": {"labels": {"a": "b"}}})
        assert (reply.status, list(reply.warnings or ())) == (200, [])
