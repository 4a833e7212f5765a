"""Gates, a type of an export with fields that a declared view hides, and a view through which they are written."""

from __future__ import annotations

from typing import Any

from tenantry.kube.objects import Object
from tests.support.people import MASTER
from tests.support.tenancies import ServedShard
from tests.virtual.declared.observatory import NEAR, PROVIDER, READER, base, declare, observatory

ALL = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]
MERGE, JSON_PATCH, STRATEGIC, APPLY = (
    f"application/{name}" for name in ("merge-patch+json", "json-patch+json", "strategic-merge-patch+json", "apply-patch+yaml")
)
TEXT: Object = {"type": "string"}
HIDDEN = ("spec.secret", "spec.users.password", "spec.steps.code", "spec.lock.key", "status.trace")


def structure(**properties: Object) -> Object:
    return {"type": "object", "properties": properties}


VERSION: Object = {
    "name": "v1",
    "served": True,
    "storage": True,
    "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.wings", "statusReplicasPath": ".status.wings"}},
    "schema": structure(
        spec={
            **structure(
                size={"type": "integer", "maximum": 100},
                wings={"type": "integer"},
                note=TEXT,
                secret={"type": "string", "default": "initial"},
                users={
                    "type": "array",
                    "items": {**structure(name=TEXT, role=TEXT, password=TEXT), "required": ["name"]},
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                },
                steps={"type": "array", "items": structure(run=TEXT, code=TEXT)},
                lock=structure(maker=TEXT, key=TEXT),
            ),
            "x-kubernetes-validations": [
                {"rule": "!has(self.size) || !has(self.secret) || self.size != 13", "message": "13 is no size"},
                {
                    "rule": "!has(self.note) || self.note != 'tell'",
                    "messageExpression": "'the secret is ' + self.secret",
                },
                {"rule": "!has(self.secret) || self.secret != self.?note.orValue('')", "fieldPath": ".secret"},
            ],
        },
        status=structure(wings={"type": "integer"}, phase=TEXT, trace=TEXT),
    ),
}
GATES = f"{base(NEAR)}/apis/wild.west/v1/namespaces/default/gates"
INSIDE = f"/clusters/{NEAR}/apis/wild.west/v1/namespaces/default/gates"


def gate(name: str, **spec: Any) -> Object:
    return {"apiVersion": "wild.west/v1", "kind": "Gate", "metadata": {"name": name}, "spec": spec}


STORED: Object = {
    "size": 3,
    "secret": "hunter2",
    "users": [{"name": "ann", "role": "boss", "password": "pass-of-ann"}, {"name": "bob", "password": "pass-of-bob"}],
    "steps": [{"run": "a", "code": "code-of-a"}, {"run": "b", "code": "code-of-b"}, {"run": "c"}],
    "lock": {"maker": "acme", "key": "key-of-it"},
}
SHOWN: Object = {
    "size": 3,
    "users": [{"name": "ann", "role": "boss"}, {"name": "bob"}],
    "steps": [{"run": "a"}, {"run": "b"}, {"run": "c"}],
    "lock": {"maker": "acme"},
}


async def gatehouse(shard: ServedShard, hidden: tuple[str, ...] = HIDDEN, **entry: Any) -> None:
    """A view of gates that hides fields and has all verbs, and a gate `one` that its consumer made."""
    await observatory(shard)
    await shard.export(PROVIDER, "gates", version=VERSION)
    await shard.bind(NEAR, "root:provider", "gates")
    resource = {"group": "wild.west", "resource": "gates", "verbs": ALL, "hiddenFields": list(hidden), **entry}
    await declare(shard, export={"name": "gates"}, resources=[resource])
    body = gate("one", **STORED)
    body["metadata"]["annotations"] = {"example.com/whole": "hunter2"}
    status, answer = await shard.call("POST", INSIDE, MASTER, body, query="fieldManager=owner")
    assert status == 201, answer
    status, answer = await shard.call(
        "PATCH", f"{INSIDE}/one/status", MASTER, {"status": {"phase": "Up", "trace": "trace-of-it"}}, content_type=MERGE
    )
    assert status == 200, answer


async def read(shard: ServedShard, name: str = "one") -> Object:
    """What the view shows of a gate."""
    status, answer = await shard.call("GET", f"{GATES}/{name}", READER)
    assert status == 200, answer
    return dict(answer)


async def stored(shard: ServedShard, name: str = "one") -> Object:
    """The whole gate."""
    status, answer = await shard.call("GET", f"{INSIDE}/{name}", MASTER)
    assert status == 200, answer
    return dict(answer)
