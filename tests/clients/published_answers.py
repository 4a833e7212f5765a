"""What a server answers to definitions and objects that projects publish, in a form in which servers can be compared."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from tests.clients.published import Published
from tests.support.waiting import wait_for

Object = dict[str, Any]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
APPLY = "application/apply-patch+yaml"
MERGE = {"Content-Type": "application/merge-patch+json"}
OF_THE_MOMENT = ("uid", "resourceVersion", "creationTimestamp", "lastTransitionTime", "time", "deletionTimestamp")
CLUSTER = "kcp.io/cluster"
STORAGE_KEY = re.compile(r"Key: \S+,")
SYSTEM_MANAGERS = ("tenantry", "kube-apiserver")
PROTECTED = re.compile(r"(^|\.)(k8s|kubernetes)\.io$")
"""Groups for which a definition has a condition of its approval."""


class Answer(Protocol):
    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def body(self) -> bytes: ...


Send = Callable[[str, str, Any, Mapping[str, str]], Answer]
"""Method, path, body or None, headers."""


def shown(answer: Answer) -> Object:
    """An answer without what differs between two requests to one server."""
    warnings = answer.headers.get("Warning")
    body = json.loads(answer.body) if answer.body[:1] in (b"{", b"[") else answer.body.decode(errors="replace")
    body = _lasting(body)
    if isinstance(body, dict) and body.get("kind") == "Status" and isinstance(body.get("details"), dict):
        # The message has the causes, in their order.
        body["message"] = STORAGE_KEY.sub("Key: <key>,", body["message"].partition(": [")[0])
    return {"code": answer.status, "body": body, **({"warning": warnings} if warnings else {})}


def digest(found: Object) -> str:
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:12]


def _lasting(value: Any) -> Any:
    if isinstance(value, list):
        return [_lasting(each) for each in value]
    if not isinstance(value, dict):
        return value
    out = {name: _lasting(each) for name, each in value.items() if name not in OF_THE_MOMENT or not isinstance(each, str)}
    if isinstance(owners := out.get("managedFields"), list):
        out["managedFields"] = sorted(map(_owner, owners), key=lambda each: (each.get("subresource", ""), each["manager"]))
    if isinstance(conditions := out.get("conditions"), list) and all(isinstance(each, dict) for each in conditions):
        out["conditions"] = sorted(conditions, key=lambda each: str(each.get("type")))
    if isinstance(causes := out.get("causes"), list):
        # Kubernetes goes through properties in no fixed order.
        out["causes"] = sorted(causes, key=json.dumps)
    metadata = out.get("metadata")
    if isinstance(metadata, dict) and isinstance(annotations := metadata.get("annotations"), dict):
        annotations.pop(CLUSTER, None)
        if not annotations:
            del metadata["annotations"]
    return out


def _owner(entry: Object) -> Object:
    return {**entry, "manager": "<system>"} if entry["manager"].startswith(SYSTEM_MANAGERS) else entry


def answers_of(send: Send, one: Published) -> Iterator[tuple[str, Object]]:
    """Creates a definition and its samples, reads them back in several ways, and applies them. Yields (step, what was answered).
    What was created is left."""
    created = send("POST", CRDS, one.definition, {})
    yield "create", shown(created)
    if created.status != 201:
        return
    path = f"{CRDS}/{one.name}"
    wait_for(lambda: _settled(json.loads(send("GET", path, None, {}).body)), f"{one.name} has conditions")
    read = send("GET", path, None, {})
    yield "get", shown(read)
    yield "table", _cells(shown(send("GET", path, None, {"Accept": TABLE})))
    definition = json.loads(read.body)
    served = [version["name"] for version in definition["spec"]["versions"] if version["served"]]
    for version in served if _established(definition) else ():
        yield from _served(send, definition, version)
    for number, sample in enumerate(one.samples if _established(definition) else ()):
        for step, found in _sample(send, definition, sample):
            yield f"{number} {step}", found


def remove(send: Send, one: Published) -> None:
    """Removes a definition with its objects."""
    path = f"{CRDS}/{one.name}"
    send("DELETE", path, None, {})

    def gone() -> bool:
        answer = send("GET", path, None, {})
        if answer.status != 404:
            for version in one.definition["spec"]["versions"]:
                _free(send, one.definition, version["name"])
        return answer.status == 404

    wait_for(gone, f"{one.name} is gone")


def _free(send: Send, definition: Object, version: str) -> None:
    """Takes the finalizers of all objects that are left."""
    answer = send("GET", _collection(definition, version, ""), None, {})
    for each in json.loads(answer.body).get("items", ()) if answer.status == 200 else ():
        path = f"{_collection(definition, version, each['metadata'].get('namespace', ''))}/{each['metadata']['name']}"
        send("PATCH", path, {"metadata": {"finalizers": None}}, MERGE)


def _collection(definition: Object, version: str, namespace: str) -> str:
    spec = definition["spec"]
    within = f"namespaces/{namespace}/" if namespace else ""
    return f"/apis/{spec['group']}/{version}/{within}{spec['names']['plural']}"


def _condition(definition: Object, kind: str) -> str:
    conditions = definition.get("status", {}).get("conditions") or ()
    return next((each["status"] for each in conditions if each["type"] == kind), "")


def _settled(definition: Object) -> bool:
    if PROTECTED.search(definition["spec"]["group"]) and not _condition(definition, "KubernetesAPIApprovalPolicyConformant"):
        return False
    refused = _condition(definition, "NamesAccepted") == "False"
    return refused or _condition(definition, "Established") == "True"


def _established(definition: Object) -> bool:
    return _condition(definition, "Established") == "True"


def _cells(found: Object) -> Object:
    """A Table without the cells that hold a moment or an age."""
    body = found["body"]
    if isinstance(body, dict) and body.get("kind") == "Table":
        columns = enumerate(body["columnDefinitions"])
        moments = [n for n, each in columns if "date" in (each["type"], each["format"][:4]) or each["name"] == "Created At"]
        for row in body["rows"] or ():
            row["cells"] = [None if n in moments else cell for n, cell in enumerate(row["cells"])]
    return found


def _served(send: Send, definition: Object, version: str) -> Iterator[tuple[str, Object]]:
    spec = definition["spec"]
    found: Object = {}

    def listed() -> bool:
        nonlocal found
        found = shown(send("GET", f"/apis/{spec['group']}/{version}", None, {}))
        resources = found["body"].get("resources", ()) if isinstance(found["body"], dict) else ()
        kept = [each for each in resources if each["name"].partition("/")[0] == spec["names"]["plural"]]
        found = {"code": found["code"], "body": kept}
        return bool(kept)

    wait_for(listed, f"{definition['metadata']['name']} is listed")
    yield f"{version} discovery", found

    def described() -> bool:
        nonlocal found
        document = shown(send("GET", f"/openapi/v3/apis/{spec['group']}/{version}", None, {}))
        schemas = document["body"].get("components", {}).get("schemas", {}) if isinstance(document["body"], dict) else {}
        kind = spec["names"]["kind"]
        found = {name: _own(each) for name, each in schemas.items() if name.rpartition(".")[2] in (kind, f"{kind}List")}
        return bool(found)

    wait_for(described, f"{definition['metadata']['name']} is described")
    yield f"{version} openapi", found


def _own(schema: Object) -> Object:
    """A schema of OpenAPI without the descriptions that a server gives to what all types have."""
    properties = schema.get("properties", {})
    common: Object = {name: {} for name in ("apiVersion", "kind", "metadata", "items") if name in properties}
    return {**schema, "description": "", "properties": {**properties, **common}}


def _sample(send: Send, definition: Object, sample: Object) -> Iterator[tuple[str, Object]]:
    namespace = "default" if definition["spec"]["scope"] == "Namespaced" else ""
    body = json.loads(json.dumps(sample, default=str))
    body["metadata"].pop("namespace", None)
    body["metadata"].pop("resourceVersion", None)
    version = body["apiVersion"].partition("/")[2]
    collection = _collection(definition, version, namespace)
    path = f"{collection}/{body['metadata']['name']}"
    yield "create", shown(send("POST", collection, body, {}))
    yield "get", shown(send("GET", path, None, {}))
    yield "table", _cells(shown(send("GET", path, None, {"Accept": TABLE})))
    apply = f"{path}?fieldManager=applier&force=true"
    yield "apply", shown(send("PATCH", apply, body, {"Content-Type": APPLY}))
    yield "apply again", shown(send("PATCH", apply, body, {"Content-Type": APPLY}))
    yield "strict", shown(send("PUT", f"{path}?fieldValidation=Strict", {**body, "strange": 1}, {}))
    yield "merge", shown(send("PATCH", path, {"metadata": {"labels": {"a": "b"}}}, MERGE))
