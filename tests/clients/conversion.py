"""Requests to a type whose versions a webhook converts, played to any API server: what it answers can be compared with another
one's."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.support.api import Api, Object
from tests.support.waiting import wait_for
from tests.support.webhooks import Raw, Reply, WebhookServer

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
_TYPES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}
_REMEMBERED = "colour.conv.example"
Change = Callable[[Object], Any]


def convert(obj: Object, desired: str) -> Object:
    """v1 has the size as a text, and v2 as a number in `count`; v1 keeps the colour that v2 has in an annotation."""
    made: Object = json.loads(json.dumps(obj))
    spec, metadata = made.get("spec", {}), made["metadata"]
    made["apiVersion"] = desired
    annotations = metadata.get("annotations") or {}
    if desired.endswith("/v2"):
        if "size" in spec:
            spec["count"] = int(spec.pop("size"))
        spec.pop("level", None)
        if _REMEMBERED in annotations:
            spec["colour"] = annotations.pop(_REMEMBERED)
    else:
        if "count" in spec:
            spec["size"] = str(spec.pop("count"))
        spec.pop("shape", None)
        if "colour" in spec:
            annotations[_REMEMBERED] = spec.pop("colour")
    if annotations:
        metadata["annotations"] = annotations
    else:
        metadata.pop("annotations", None)
    return made


def converts(review: Object) -> Object:
    request = review["request"]
    made = [convert(each, request["desiredAPIVersion"]) for each in request["objects"]]
    return {"result": {"status": "Success"}, "convertedObjects": made}


def _wrong(change: Change) -> Reply:
    """Converts, and then does something to each object."""

    def reply(review: Object) -> Object:
        answer = converts(review)
        made = []
        for each in answer["convertedObjects"]:
            found = change(each)
            made.append(each if found is None else found)
        return {**answer, "convertedObjects": made}

    return reply


def _field(name: str, value: Any) -> Reply:
    return _wrong(lambda obj: obj.update({name: value}))


def _meta(name: str, value: Any) -> Reply:
    return _wrong(lambda obj: obj["metadata"].update({name: value}))


def _without(name: str) -> Reply:
    return _wrong(lambda obj: {key: value for key, value in obj.items() if key != name})


def _status(code: int, message: str) -> Raw:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
    return Raw(code, json.dumps(body).encode())


def _review(**fields: Any) -> Reply:
    return lambda review: Raw(
        200,
        json.dumps(
            {**review, "request": None, "response": {"uid": review["request"]["uid"], **converts(review)}, **fields}
        ).encode(),
    )


MODES: dict[str, Reply] = {
    "no-objects": lambda review: {"result": {"status": "Success"}, "convertedObjects": []},
    "null-objects": lambda review: {"result": {"status": "Success"}, "convertedObjects": None},
    "twice": lambda review: {**converts(review), "convertedObjects": converts(review)["convertedObjects"] * 2},
    "kind": _field("kind", "Other"),
    "no-kind": _without("kind"),
    "empty-kind": _field("kind", ""),
    "group": _field("apiVersion", "other.example/v2"),
    "version": _wrong(lambda obj: obj.update(apiVersion="c.example/v3")),
    "same-version": lambda review: {"result": {"status": "Success"}, "convertedObjects": review["request"]["objects"]},
    "no-version": _without("apiVersion"),
    "bad-version": _field("apiVersion", "a/b/c"),
    "number-version": _field("apiVersion", 7),
    "name": _meta("name", "other"),
    "no-name": _meta("name", None),
    "namespace": _meta("namespace", "other"),
    "uid": _meta("uid", "7"),
    "number-name": _meta("name", 5),
    "no-metadata": _without("metadata"),
    "text-metadata": _field("metadata", "a"),
    "null-metadata": _field("metadata", None),
    "new-labels": _meta("labels", {"added": "yes"}),
    "bad-label": _meta("labels", {"added": "no spaces"}),
    "bad-labels": _meta("labels", {"a b": "c d"}),
    "label-number": _meta("labels", {"added": 1}),
    "label-list": _meta("labels", ["a"]),
    "label-float": _meta("labels", 1.5),
    "label-null": _meta("labels", None),
    "annotation-bad": _meta("annotations", {"a b": ""}),
    "annotation-bool": _meta("annotations", {"a": True}),
    "annotation-text": _meta("annotations", "a"),
    "annotation-null-value": _meta("annotations", {"a": None}),
    "annotation-object": _meta("annotations", {"a": {}}),
    "annotation-list": _meta("annotations", {"a": []}),
    "annotations-large": _meta("annotations", {"a": "x" * (256 << 10)}),
    "other-metadata": _wrong(
        lambda obj: obj["metadata"].update(
            resourceVersion="1", generation=77, creationTimestamp="2001-01-01T00:00:00Z", finalizers=["a/b"], selfLink="/x"
        )
    ),
    "unknown-fields": _wrong(lambda obj: obj["spec"].update(extra=1, other={"a": 1})),
    "unknown-top": _field("extra", {"a": 1}),
    "spec-of-another-type": _wrong(lambda obj: obj.update(spec={"count": "many", "size": 5})),
    "no-spec": _without("spec"),
    "object-text": _wrong(lambda obj: "a"),
    "object-number": _wrong(lambda obj: 5),
    "object-list": _wrong(lambda obj: []),
    "object-null": lambda review: {"result": {"status": "Success"}, "convertedObjects": [None]},
    "object-empty": _wrong(lambda obj: {}),
    "failure": lambda review: {"result": {"status": "Failure", "message": "it is Friday"}},
    "failure-silent": lambda review: {"result": {"status": "Failure"}},
    "failure-reason": lambda review: {"result": {"status": "Failure", "reason": "Forbidden", "code": 403}},
    "no-result": lambda review: {"convertedObjects": converts(review)["convertedObjects"]},
    "result-unknown": lambda review: {**converts(review), "result": {"status": "success"}},
    "result-text": lambda review: {**converts(review), "result": "Success"},
    "uid-other": lambda review: {**converts(review), "uid": "other"},
    "uid-none": lambda review: {**converts(review), "uid": ""},
    "uid-number": lambda review: {**converts(review), "uid": 5},
    "no-response": _review(response=None),
    "response-text": _review(response="a"),
    "objects-text": lambda review: {**converts(review), "convertedObjects": "a"},
    "review-v1beta1": _review(apiVersion="apiextensions.k8s.io/v1beta1"),
    "review-v2": _review(apiVersion="apiextensions.k8s.io/v2"),
    "review-unversioned": _review(apiVersion=""),
    "review-other": _review(kind="AdmissionReview"),
    "review-unkind": _review(kind=""),
    "review-group": _review(apiVersion="admission.k8s.io/v1"),
    "review-number": _review(apiVersion=5),
    "echo": lambda review: Raw(200, json.dumps(review).encode()),
    "500": lambda review: Raw(500, b"out of order", "text/plain"),
    "500-empty": lambda review: Raw(500, b"", "text/plain"),
    "500-json": lambda review: Raw(500, b'{"a":1}'),
    "status-500": lambda review: _status(500, "no idea"),
    "status-200": lambda review: Raw(200, _status(500, "no idea").body),
    "400": lambda review: Raw(400, b"bad", "text/plain"),
    "401": lambda review: Raw(401, b"who", "text/plain"),
    "403": lambda review: Raw(403, b"no", "text/plain"),
    "404": lambda review: Raw(404, b"404 page not found\n", "text/plain; charset=utf-8"),
    "429": lambda review: Raw(429, b"slow down", "text/plain"),
    "503": lambda review: Raw(503, b"later", "text/plain"),
    "302": lambda review: Raw(302, b"elsewhere", "text/plain"),
    "201": lambda review: Raw(201, _review()(review).body),  # type: ignore[union-attr]
    "204": lambda review: Raw(204, b""),
    "empty": lambda review: Raw(200, b""),
    "garbage": lambda review: Raw(200, b"<html>"),
    "half": lambda review: Raw(200, b'{"kind":"ConversionReview","apiVersion":'),
    "array": lambda review: Raw(200, b"[]"),
    "closed": lambda review: Raw(200, None),
}
"""What a webhook does wrong, or oddly."""


def crd(group: str, client: Object, *, storage: str = "v1", **conversion: Any) -> Object:
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList", "shortNames": ["th"]}
    own: dict[str, Object] = {"v1": {"size": {"type": "string"}, "level": {"type": "integer", "default": 1}}}
    own["v2"] = {"count": {"type": "integer"}, "colour": {"type": "string"}, "shape": {"type": "string", "default": "round"}}
    selectable = {"v1": ".spec.size", "v2": ".spec.count"}
    versions = []
    for name in ("v1", "v2"):
        spec = {"type": "object", "properties": {"note": {"type": "string"}, "replicas": {"type": "integer"}, **own[name]}}
        status = {"type": "object", "properties": {"phase": {"type": "string"}, "replicas": {"type": "integer"}}}
        field = selectable[name].rpartition(".")[2]
        versions.append(
            {
                "name": name,
                "served": True,
                "storage": name == storage,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}},
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
                },
                "selectableFields": [{"jsonPath": selectable[name]}],
                "additionalPrinterColumns": [
                    {"name": field.title(), "type": own[name][field]["type"], "jsonPath": selectable[name]},
                    {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
                ],
            }
        )
    webhook = {"conversionReviewVersions": ["v1"], "clientConfig": client, **conversion}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": names,
            "versions": versions,
            "conversion": {"strategy": "Webhook", "webhook": webhook},
        },
    }


def thing(group: str, version: str, name: str, **spec: Any) -> Object:
    return {"apiVersion": f"{group}/{version}", "kind": "Thing", "metadata": {"name": name}, "spec": spec}


class Player:
    """Plays to a server, and remembers its answers by step."""

    def __init__(self, api: Api, hooks: WebhookServer) -> None:
        self.api = api
        self.hooks = hooks
        self.answers: dict[str, Any] = {}

    def install(self, group: str, reply: Reply = converts, **more: Any) -> None:
        """A type of its own, which is served when this returns."""
        self.hooks.replies[f"/{group}"] = reply
        client = more.pop("client", None) or self.hooks.client(f"/{group}")
        self.api.create(CRDS, crd(group, client, **more))
        for version in ("v1", "v2"):
            # A list may be refused where the webhook is out of order.
            wait_for(lambda v=version: self.api.status_of("GET", f"/apis/{group}/{v}") == 200, f"{group}/{version} is served")  # type: ignore[misc]

    def send(
        self, step: str, method: str, path: str, body: Any = None, *, patch: str = "", accept: str = "", **query: Any
    ) -> Object:
        headers = {"Accept": accept} if accept else {}
        kind = _TYPES[patch] if patch else "application/json"
        answer = self.api.request(method, path, body, content_type=kind, headers=headers, **query)
        try:
            found = answer.object
        except ValueError:
            found = {"text": answer.body.decode(errors="replace")}
        warnings = answer.headers.get("Warning", "")
        self.note(step, [answer.status, found, *([warnings] if warnings else [])])
        return found

    def watch(self, step: str, path: str, **query: Any) -> None:
        """The events of a watch that ends by itself."""
        answer = self.api.request("GET", path, watch=True, **{"timeoutSeconds": 2, **query})
        events = [json.loads(line) for line in answer.body.decode().splitlines()] if answer.status == 200 else answer.object
        self.note(step, [answer.status, events])

    def note(self, step: str, value: Any) -> None:
        assert step not in self.answers, step
        found = normal(value)
        if ": " in step and found[0] < 400:
            # Of what goes wrong, the refusals are looked at.
            found = [found[0], hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]]
        self.answers[step] = found


_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_PORT = re.compile(r"127\.0\.0\.1:\d+")
_REVISION = re.compile(r"revision=\d+")
_CLUSTER = re.compile(r"  annotations:\n    kcp.io/cluster: \w+\n")
_SENT_CLUSTER = re.compile(r'"annotations": \{"kcp.io/cluster": "\w+"\}, ')
_WRITTEN = re.compile(r'(?<=resourceVersion: ")\d+(?=")')
_SCHEME = re.compile(r'in scheme \\*"[^"]*"')
_READ = re.compile(r"read tcp \S+->\S+: read: connection reset by peer|EOF|unexpected EOF")


def normal(value: Any) -> Any:
    """The answer without what differs each time, and without what a logical cluster adds."""
    if isinstance(value, dict):
        found = {key: normal(item) for key, item in value.items()}
        annotations = found.get("annotations")
        if isinstance(annotations, dict) and "kcp.io/cluster" in annotations:
            del annotations["kcp.io/cluster"]
            if not annotations:
                del found["annotations"]
        for name in ("resourceVersion", "continue"):
            if found.get(name):
                found[name] = "<some>"
        if found.get("kind") == "Table":
            for row in found.get("rows") or ():
                row["cells"] = ["<age>" if re.fullmatch(r"\d+s", str(cell)) else cell for cell in row["cells"]]
        managers = found.get("managedFields")
        if isinstance(managers, list):
            # They are in the order of their times, which have seconds.
            found["managedFields"] = sorted(map(_named, managers), key=str)
        return found
    if isinstance(value, list):
        return [normal(item) for item in value]
    if isinstance(value, str):
        for pattern, text in (
            (_UID, "<uid>"),
            (_TIME, "<time>"),
            (_PORT, "127.0.0.1:<port>"),
            (_SCHEME, "in scheme"),
            (_REVISION, "revision=<n>"),
            (_CLUSTER, ""),
            (_SENT_CLUSTER, ""),
            (_WRITTEN, "<some>"),
        ):
            value = pattern.sub(text, value)
    return value


def _named(entry: Object) -> Object:
    """An entry of managedFields, without the name that a client gives itself."""
    own = entry.get("manager", "").startswith(("python", "PoolManager", "unknown"))
    return {key: "<client>" if own and key == "manager" else entry[key] for key in sorted(entry)}


def play(player: Player) -> None:
    """Every step."""
    _lives(player)
    _moves(player)
    _answers_one_way(player)
    for number, mode in enumerate(MODES):
        _goes_wrong(player, mode, f"m{number}.conv.example")
    _is_away(player)


def _lives(player: Player, group: str = "conv.example") -> None:
    player.install(group)
    send, hooks = player.send, player.hooks
    v1, v2 = (f"/apis/{group}/{version}/namespaces/default/things" for version in ("v1", "v2"))
    hooks.seen.clear()
    first = send("create v1", "POST", v1, thing(group, "v1", "a", size="3", note="one"))
    player.note("create v1, calls", len(hooks.seen))
    begin = first["metadata"]["resourceVersion"]
    send("get v1", "GET", f"{v1}/a")
    hooks.seen.clear()
    send("get v2", "GET", f"{v2}/a")
    player.note("get v2, sent", [request for _, request in hooks.seen[:1]])
    hooks.seen.clear()
    send("create v2", "POST", v2, thing(group, "v2", "b", count=5, colour="red", note="two"))
    player.note("create v2, sent", [request for _, request in hooks.seen[:1]])
    send("create v2, invalid", "POST", v2, thing(group, "v2", "c", count="five"))
    send("create v2, unknown field", "POST", v2, thing(group, "v2", "c", count=6, size="6"), fieldValidation="Strict")
    send("create v2, taken", "POST", v2, thing(group, "v2", "a", count=5))
    send("create v2, dry", "POST", v2, thing(group, "v2", "dry", count=6, colour="red"), dryRun="All")
    send("get b v1", "GET", f"{v1}/b")
    send("get b v2", "GET", f"{v2}/b")
    send("get b v2, table", "GET", f"{v2}/b", accept=TABLE)
    send("get b v2, partial", "GET", f"{v2}/b", accept=PARTIAL)
    send("get b v2, yaml", "GET", f"{v2}/b", accept="application/yaml")
    send("get b v2, pretty", "GET", f"{v2}/b", pretty="true")
    for version, path in (("v1", v1), ("v2", v2)):
        send(f"list {version}", "GET", path)
        send(f"list {version}, table", "GET", path, accept=TABLE)
        send(f"list {version}, partial", "GET", path, accept=PARTIAL_LIST)
        page = send(f"list {version}, page", "GET", path, limit=1)
        send(f"list {version}, next page", "GET", path, limit=1, **{"continue": page["metadata"]["continue"]})
        field, other_field = ("spec.size", "spec.count") if version == "v1" else ("spec.count", "spec.size")
        send(f"list {version}, field", "GET", path, fieldSelector=f"{field}=5")
        send(f"list {version}, not the field", "GET", path, fieldSelector=f"{field}!=5")
        send(f"list {version}, field and page", "GET", path, fieldSelector=f"{field}!=4", limit=1)
        send(f"list {version}, field of the other", "GET", path, fieldSelector=f"{other_field}=5")
        send(f"list {version}, name", "GET", path, fieldSelector="metadata.name=b")
        send(f"list {version}, all namespaces", "GET", f"/apis/{group}/{version}/things")
    send("merge v2", "PATCH", f"{v2}/a", {"spec": {"count": 4}}, patch="merge")
    send("merge v2, get v1", "GET", f"{v1}/a")
    send("merge v2, nothing", "PATCH", f"{v2}/a", {"spec": {"count": 4}}, patch="merge")
    send("merge v2, dry", "PATCH", f"{v2}/a", {"spec": {"count": 9}}, patch="merge", dryRun="All")
    send("json v2", "PATCH", f"{v2}/a", [{"op": "replace", "path": "/spec/count", "value": 6}], patch="json")
    send("json v2, test", "PATCH", f"{v2}/a", [{"op": "test", "path": "/spec/count", "value": 7}], patch="json")
    send("merge v2, invalid", "PATCH", f"{v2}/a", {"spec": {"count": "x"}}, patch="merge")
    send("merge v2, other apiVersion", "PATCH", f"{v2}/a", {"apiVersion": f"{group}/v1"}, patch="merge")
    now = send("get a v2", "GET", f"{v2}/a")
    now["spec"]["note"] = "put"
    send("put v2", "PUT", f"{v2}/a", now)
    send("put v2, stale", "PUT", f"{v2}/a", now)
    now = send("get a v2 again", "GET", f"{v2}/a")
    send("put v2, nothing", "PUT", f"{v2}/a", now)
    send("put v2, dry", "PUT", f"{v2}/a", {**now, "spec": {**now["spec"], "count": 8}}, dryRun="All")
    send("put v1 body to v2", "PUT", f"{v2}/a", send("get a v1", "GET", f"{v1}/a"))
    applied = thing(group, "v2", "applied", count=7, colour="blue")
    send("apply v2", "PATCH", f"{v2}/applied", applied, patch="apply", fieldManager="one")
    send("apply v2, get v1", "GET", f"{v1}/applied")
    send("apply v2, again", "PATCH", f"{v2}/applied", applied, patch="apply", fieldManager="one")
    other = thing(group, "v1", "applied", size="8")
    send("apply v1 by another", "PATCH", f"{v1}/applied", other, patch="apply", fieldManager="two")
    send("apply v1, forced", "PATCH", f"{v1}/applied", other, patch="apply", fieldManager="two", force="true")
    send("apply v1, get v2", "GET", f"{v2}/applied")
    less = thing(group, "v2", "applied", colour="blue")
    send("apply v2, less", "PATCH", f"{v2}/applied", less, patch="apply", fieldManager="one")
    send("apply v1, note", "PATCH", f"{v1}/applied", thing(group, "v1", "applied", note="n"), patch="apply", fieldManager="three")
    send("apply v2, note", "PATCH", f"{v2}/applied", thing(group, "v2", "applied", note="m"), patch="apply", fieldManager="four")
    send("status v2", "PATCH", f"{v2}/a/status", {"status": {"phase": "Up", "replicas": 2}}, patch="merge")
    send("status v1, get", "GET", f"{v1}/a/status")
    send("status v1", "PATCH", f"{v1}/a/status", {"status": {"phase": "Down"}, "spec": {"size": "99"}}, patch="merge")
    send("status v2, get", "GET", f"{v2}/a/status")
    send("scale v2, none", "GET", f"{v2}/a/scale")
    send("replicas v2", "PATCH", f"{v2}/a", {"spec": {"replicas": 3}}, patch="merge")
    scale = send("scale v2", "GET", f"{v2}/a/scale")
    send("scale v2, patch", "PATCH", f"{v2}/a/scale", {"spec": {"replicas": 4}}, patch="merge")
    scale["spec"]["replicas"], scale["metadata"]["resourceVersion"] = 5, ""
    send("scale v2, put", "PUT", f"{v2}/a/scale", scale)
    send("scale v1", "GET", f"{v1}/a/scale")
    send("scale v2, get v1", "GET", f"{v1}/a")
    for version, path in (("v1", v1), ("v2", v2)):
        player.watch(f"watch {version}", path, resourceVersion=begin)
        field = "spec.size" if version == "v1" else "spec.count"
        player.watch(f"watch {version}, field", path, resourceVersion=begin, fieldSelector=f"{field}=6")
        player.watch(f"watch {version}, state", path)
        player.watch(
            f"watch {version}, list",
            path,
            sendInitialEvents="true",
            allowWatchBookmarks="true",
            resourceVersionMatch="NotOlderThan",
        )
    send("finalizer v2", "PATCH", f"{v2}/b", {"metadata": {"finalizers": ["x.example/wait"]}}, patch="merge")
    send("delete v2, held", "DELETE", f"{v2}/b")
    send("delete v2, get v1", "GET", f"{v1}/b")
    send("delete v2, let go", "PATCH", f"{v2}/b", {"metadata": {"finalizers": None}}, patch="merge")
    send("delete v2, gone", "GET", f"{v2}/b")
    send("delete v2, dry", "DELETE", f"{v2}/a", dryRun="All")
    send("delete v2", "DELETE", f"{v2}/a")
    send("delete v2, missing", "DELETE", f"{v2}/a")
    for number in range(3):
        send(f"create {number}", "POST", v1, thing(group, "v1", f"n{number}", size=str(number)))
    send("delete all v2", "DELETE", v2, fieldSelector="spec.count=1")
    send("left v2", "GET", v2)
    send("delete all v1", "DELETE", v1)


def _moves(player: Player, group: str = "moves.conv.example") -> None:
    """The storage version changes."""
    player.install(group)
    send = player.send
    v1, v2 = (f"/apis/{group}/{version}/namespaces/default/things" for version in ("v1", "v2"))
    for name in ("old", "kept"):
        send(f"moves, create {name}", "POST", v1, thing(group, "v1", name, size="3"))
    found = player.api.get(f"{CRDS}/things.{group}")
    for version in found["spec"]["versions"]:
        version["storage"] = version["name"] == "v2"
    changed = player.api.put(f"{CRDS}/things.{group}", found)
    player.note("moves, stored", changed["status"]["storedVersions"])

    def has_moved() -> bool:
        # Its handler is made anew a little later.
        player.hooks.seen.clear()
        player.api.request("POST", v1, thing(group, "v1", "try", size="3"), dryRun="All")
        return any(request["desiredAPIVersion"] == f"{group}/v2" for _, request in player.hooks.seen)

    wait_for(has_moved, "objects are stored in v2")
    send("moves, create new", "POST", v1, thing(group, "v1", "new", size="4"))
    for version, path in (("v1", v1), ("v2", v2)):
        for name in ("old", "new"):
            send(f"moves, get {name} {version}", "GET", f"{path}/{name}")
        send(f"moves, list {version}", "GET", path)
    before = send("moves, get kept", "GET", f"{v2}/kept")
    after = send("moves, put kept", "PUT", f"{v2}/kept", before)
    player.note("moves, put kept is a write", after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"])
    again = send("moves, put kept again", "PUT", f"{v2}/kept", after)
    player.note("moves, put again is none", again["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"])
    player.hooks.seen.clear()
    send("moves, delete old", "DELETE", f"{v2}/old")
    send("moves, left", "GET", v2)


def _goes_wrong(player: Player, mode: str, group: str) -> None:
    player.install(group, MODES[mode])
    send = player.send
    v1, v2 = (f"/apis/{group}/{version}/namespaces/default/things" for version in ("v1", "v2"))
    send(f"{mode}: create v1", "POST", v1, thing(group, "v1", "a", size="3"))
    send(f"{mode}: create another", "POST", v1, thing(group, "v1", "other", size="3"))
    send(f"{mode}: get v2", "GET", f"{v2}/a")
    send(f"{mode}: create v2", "POST", v2, thing(group, "v2", "b", count=3))
    send(f"{mode}: create v2, dry", "POST", v2, thing(group, "v2", "c", count=3), dryRun="All")
    send(f"{mode}: patch v2", "PATCH", f"{v2}/a", {"spec": {"note": "x"}}, patch="merge")
    send(f"{mode}: apply v2", "PATCH", f"{v2}/a", thing(group, "v2", "a", note="y"), patch="apply", fieldManager="one")
    send(f"{mode}: delete v2", "DELETE", f"{v2}/a")
    send(f"{mode}: list v1", "GET", v1)
    send(f"{mode}: list v2", "GET", v2)
    send(f"{mode}: list v2, field", "GET", v2, fieldSelector="metadata.name=a")
    send(f"{mode}: delete v1", "DELETE", f"{v1}/a")


def _answers_one_way(player: Player, group: str = "oneway.conv.example") -> None:
    """What is written can be stored, and cannot be read again."""
    player.install(group)
    v1, v2 = (f"/apis/{group}/{version}/namespaces/default/things" for version in ("v1", "v2"))
    player.send("one way: create v1", "POST", v1, thing(group, "v1", "a", size="3"))

    def reply(review: Object) -> Object:
        to_storage = review["request"]["desiredAPIVersion"].endswith("/v1")
        return converts(review) if to_storage else {"result": {"status": "Failure", "message": "never"}}

    player.hooks.replies[f"/{group}"] = reply
    player.send("one way: create v2", "POST", v2, thing(group, "v2", "b", count=3))
    player.send("one way: create v2, dry", "POST", v2, thing(group, "v2", "c", count=3), dryRun="All")
    player.send("one way: get v1", "GET", f"{v1}/b")


def _is_away(player: Player) -> None:
    """Webhooks that cannot be called, and reviews in v1beta1."""
    good = player.hooks.client("/away")
    places: dict[str, Object] = {
        "refused": {**good, "url": "https://127.0.0.1:1/away"},
        "untrusted": {"url": good["url"]},
    }
    for number, (name, client) in enumerate(places.items()):
        group = f"a{number}.conv.example"
        player.install(group, client=client)
        v1, v2 = (f"/apis/{group}/{version}/namespaces/default/things" for version in ("v1", "v2"))
        player.send(f"{name}: create v1", "POST", v1, thing(group, "v1", "a", size="3"))
        player.send(f"{name}: get v2", "GET", f"{v2}/a")
        player.send(f"{name}: create v2", "POST", v2, thing(group, "v2", "b", count=3))
        player.send(f"{name}: delete v1", "DELETE", f"{v1}/a")
    for name, versions in (("beta", ["v1beta1"]), ("beta first", ["v2", "v1beta1", "v1"])):
        group = f"{name.replace(' ', '-')}.conv.example"
        player.install(group, conversionReviewVersions=versions)
        v1, v2 = (f"/apis/{group}/{version}/namespaces/default/things" for version in ("v1", "v2"))
        player.send(f"{name}: create v1", "POST", v1, thing(group, "v1", "a", size="3"))
        player.send(f"{name}: get v2", "GET", f"{v2}/a")
        player.send(f"{name}: create v2", "POST", v2, thing(group, "v2", "b", count=3))
    for mode in ("uid-other", "review-other", "review-unversioned", "no-response", "failure-silent", "twice"):
        group = f"beta-{mode}.conv.example"
        player.install(group, MODES[mode], conversionReviewVersions=["v1beta1"])
        v1, v2 = (f"/apis/{group}/{version}/namespaces/default/things" for version in ("v1", "v2"))
        player.send(f"beta {mode}: create v1", "POST", v1, thing(group, "v1", "a", size="3"))
        player.send(f"beta {mode}: get v2", "GET", f"{v2}/a")


def steps(answers: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from answers.items()
