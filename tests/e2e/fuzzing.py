"""Requests made of dice: sound objects that are bent, cut and garbled, and sent with every verb, media type and parameter."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import yaml

from tests.e2e import provider
from tests.support.api import (
    API_BINDINGS,
    API_EXPORTS,
    API_RESOURCE_SCHEMAS,
    CONFIG_MAPS,
    CRDS,
    ENDPOINT_SLICES,
    NAMESPACES,
    PATCHES,
    RBAC,
    SECRETS,
    SERVICE_ACCOUNTS,
    WORKSPACE_TYPES,
    WORKSPACES,
    Object,
)

THINGS = "/apis/fuzz.example/v1/namespaces/default/things"
QUOTAS = f"{NAMESPACES}/default/resourcequotas"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"


def made(api_version: str, kind: str, name: str = "a", **rest: Any) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **rest}


def seeds() -> dict[str, Object]:
    """A sound object for each collection, to begin with."""
    rbac, apis, tenancy = "rbac.authorization.k8s.io/v1", "apis.kcp.io/v1alpha2", "tenancy.kcp.io/v1alpha1"
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    subjects = [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "x"}, {"kind": "ServiceAccount", "name": "x"}]
    universal = {"name": "universal", "path": "root"}
    schema = provider.schema("things", "Thing", "fuzz.example")
    claim = provider.claim("", "configmaps", "*")
    question = {"user": "x", "extra": {"a": ["b"]}, "resourceAttributes": {"verb": "get", "resource": "x"}}
    authorization = "authorization.k8s.io/v1"
    return {
        CONFIG_MAPS: made("v1", "ConfigMap", data={"a": "b"}, binaryData={"c": "aGk="}),
        SECRETS: made("v1", "Secret", stringData={"a": "b"}, data={"c": "aGk="}, type="Opaque"),
        SERVICE_ACCOUNTS: made("v1", "ServiceAccount", secrets=[{"name": "x"}]),
        NAMESPACES: made("v1", "Namespace", spec={"finalizers": ["kubernetes"]}),
        QUOTAS: made("v1", "ResourceQuota", spec={"hard": {"configmaps": "10", "count/secrets": "5"}}),
        LEASES: made("coordination.k8s.io/v1", "Lease", spec={"holderIdentity": "x", "renewTime": "2020-01-01T00:00:00.000000Z"}),
        f"{NAMESPACES}/default/limitranges": made("v1", "LimitRange", spec={"limits": [{"type": "Pod", "max": {"cpu": "1"}}]}),
        f"{NAMESPACES}/default/events": made("v1", "Event", involvedObject={"namespace": "default", "name": "y"}, count=1),
        f"{RBAC}/clusterroles": made(rbac, "ClusterRole", rules=[{"apiGroups": [""], "resources": ["x"], "verbs": ["get"]}]),
        f"{RBAC}/clusterrolebindings": made(rbac, "ClusterRoleBinding", roleRef=role, subjects=subjects),
        f"{RBAC}/namespaces/default/rolebindings": made(rbac, "RoleBinding", roleRef=role, subjects=subjects),
        CRDS: made("apiextensions.k8s.io/v1", "CustomResourceDefinition", "as.fuzz.example", spec={"group": "fuzz.example"}),
        THINGS: made("fuzz.example/v1", "Thing", spec={
            "replicas": 2, "pairs": [{"k": "a", "v": 1}], "set": [1], "map": {"a": "b"}, "any": {"z": [1]}, "fraction": 0.5
        }),
        WORKSPACES: made(tenancy, "Workspace", spec={"type": universal, "location": {"selector": {"matchLabels": {"a": "b"}}}}),
        WORKSPACE_TYPES: made(tenancy, "WorkspaceType", spec={
            "extend": {"with": [universal]}, "defaultChildWorkspaceType": universal, "limitAllowedParents": {"types": [universal]}
        }),
        API_RESOURCE_SCHEMAS: schema,
        API_EXPORTS: provider.export("a", schema, permissionClaims=[claim], maximalPermissionPolicy={"local": {}}),
        API_BINDINGS: provider.binding("root", "a", provider.answer(claim)),
        ENDPOINT_SLICES: made("apis.kcp.io/v1alpha1", "APIExportEndpointSlice", spec={"export": {"path": "root", "name": "a"}}),
        f"{API_EXPORTS.replace('v1alpha2', 'v1alpha1')}": made(apis.replace("2", "1"), "APIExport", spec={
            "latestResourceSchemas": ["v1.things.fuzz.example"], "permissionClaims": [{"resource": "configmaps", "all": True}]
        }),
        f"/apis/{authorization}/subjectaccessreviews": made(authorization, "SubjectAccessReview", spec=question),
        "/apis/authentication.k8s.io/v1/tokenreviews": made("authentication.k8s.io/v1", "TokenReview", spec={"token": "a.b.c"}),
        f"{SERVICE_ACCOUNTS}/default/token": made("authentication.k8s.io/v1", "TokenRequest", spec={"expirationSeconds": 600}),
    }  # fmt: skip


KEYS = re.findall(
    r"\S+",
    """
    spec status metadata name namespace labels annotations finalizers ownerReferences data rules roleRef subjects type kind
    apiVersion uid group names versions schema properties items resourceVersion generateName managedFields creationTimestamp
    deletionTimestamp hard limits default x-kubernetes-validations rule reference export path permissionClaims resource selector
    matchLabels verbs apiGroups resources extend with secrets token user groups extra replicas pairs map any conversion storage
    plural listKind served eventTime $patch $retainKeys $setElementOrder/pairs $deleteFromPrimitiveList/finalizers pattern enum
    allOf additionalProperties subresources scale f:metadata conditions blockOwnerDeletion maximum format identityHash
    """,
)
TEXTS = [
    "",
    "a",
    "x" * 300,
    "\x00",
    "\ud7ff",
    "é",
    "a/b",
    "..",
    "A",
    "1",
    "true",
    "9" * 25,
    "2020-01-01T00:00:00Z",
    "root:x",
    "*",
]
TEXTS += ["get", "ConfigMap", "object", "array", "self.x > 1", "(", ")[", ".spec.replicas", ".{", "10Gi", "-1", "1e400", "\u202e"]
TEXTS += ["a=b", "Cluster", "set", "map", "replace", "date-time", "^(a+)+$", "abc!", "0x10", " a ", "\n", "Webhook", "Accepted"]
NUMBERS = [0, 1, -1, 1.5, 1 << 31, 1 << 53, (1 << 63) - 1, 1 << 63, 1 << 64, -(1 << 63), 1e308, 5e-324, 10**40]
NAMES = ["a", "b", "c", "default", "v1.things.fuzz.example"]
SUBRESOURCES = ["status", "scale", "finalize", "token", "x"]
ACCEPTED = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "*/*", "", "x", ";;;,,,", "*/*;q=0"]
ACCEPTED += [f"application/json;as={kind};v=v1;g=meta.k8s.io" for kind in ("Table", "PartialObjectMetadata", "Nothing")]
QUERIES = {
    "fieldManager": ["x", "", "é" * 130, "\x00"],
    "force": ["true", "x", ""],
    "dryRun": ["All", "x", ""],
    "fieldValidation": ["Strict", "Warn", "Ignore", "x"],
    "limit": ["1", "0", "-1", "x"],
    "continue": ["x", "e30", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NSwic3RhcnQiOiJhXHUwMDAwIn0"],
    "resourceVersion": ["0", "1", "x", "36028797018963968"],
    "resourceVersionMatch": ["Exact", "NotOlderThan", "x"],
    "labelSelector": ["a=b", "a in (", "!a", "a,", "é", "a>1"],
    "fieldSelector": ["metadata.name=a", "a=b", "\\", ",", "type=x"],
    "pretty": ["1", "x"],
    "propagationPolicy": ["Foreground", "Orphan", "x", ""],
    "gracePeriodSeconds": ["0", "-1", "x"],
    "includeObject": ["None", "x"],
}
SCRAPS = [
    b"\x00",
    b"\xff",
    b"{",
    b"}",
    b"[",
    b'"',
    b"\\u0000",
    b"\\ud800",
    b"&a ",
    b"*a ",
    b"!!python/object:x ",
    b"<<: ",
    b"---\n",
]
SCRAPS += [b"%YAML 9\n", b"? ", b": ", b"|", b"\xef\xbb\xbf", b"1e999", b"NaN", b"-", b".nan", b"!!set ", b"'", b"\t"]
MEDIA_TYPES = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "text/plain", "", *PATCHES.values()]


class Fuzzer:
    """Makes requests out of dice."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.seeds = seeds()

    def value(self, depth: int = 0) -> Any:
        dice = self.dice
        match dice.randrange(10) if depth < 4 else 0:
            case 0 | 1 | 2 | 3:
                return dice.choice(TEXTS)
            case 4 | 5:
                return dice.choice(NUMBERS)
            case 6:
                return dice.choice([None, True, False])
            case 7:
                return [self.value(depth + 1) for _ in range(dice.randrange(4))]
            case _:
                return {dice.choice(KEYS): self.value(depth + 1) for _ in range(dice.randrange(5))}

    def mutated(self, obj: Object) -> Object:
        found: Object = json.loads(json.dumps(obj))
        for _ in range(self.dice.randint(1, 3)):
            container, key = self.dice.choice(list(places(found)))
            match self.dice.randrange(10):
                case 0 | 1:
                    del container[key]
                case 2 | 3 if isinstance(container, dict):
                    container[self.dice.choice(KEYS)] = self.value()
                case _:
                    container[key] = self.value()
            if not found:
                break
        return found

    def garbled(self, body: bytes) -> bytes:
        text = bytearray(body)
        for _ in range(self.dice.randint(1, 4) if self.dice.random() < 0.15 else 0):
            place = self.dice.randrange(len(text) + 1)
            if self.dice.random() < 0.4:
                del text[place : place + self.dice.randint(1, 5)]
            else:
                text[place:place] = self.dice.choice(SCRAPS)
        return bytes(text)

    def operations(self, obj: Object) -> list[Object]:
        """A JSON patch."""
        paths = ["", "/", "/x/y", "/metadata/labels/-", "~2", "/metadata", "/apiVersion", "/kind", *(f"/{key}" for key in obj)]
        kinds = ["add", "remove", "replace", "move", "copy", "test", "bad"]
        choice = self.dice.choice
        return [
            {"op": choice(kinds), "path": choice(paths), "from": choice(paths), "value": self.value()}
            for _ in range(self.dice.randrange(4))
        ]

    def request(self) -> tuple[str, str, bytes | None, str, str]:
        """method, path with query, body, its media type, Accept"""
        dice = self.dice
        collection = dice.choice(list(self.seeds))
        method = dice.choice(["GET", "GET", "POST", "POST", "POST", "PUT", "PUT", "PATCH", "PATCH", "PATCH", "DELETE", "OPTIONS"])
        name, path = dice.choice(NAMES), collection
        if method not in ("POST", "OPTIONS") and dice.random() < 0.9:
            path += f"/{name}"
        if dice.random() < 0.12:
            path += "/" + dice.choice(SUBRESOURCES)
        media_type, body = "application/json", None
        if method in ("POST", "PUT", "PATCH"):
            media_type, body = self.body(method, collection, name)
        elif method == "DELETE" and dice.random() < 0.3:
            body = json.dumps(self.mutated(made("v1", "DeleteOptions", preconditions={"uid": "x"}, dryRun=["All"]))).encode()
        query = {key: dice.choice(QUERIES[key]) for key in dice.sample(list(QUERIES), dice.choice([0, 0, 1, 2]))}
        if media_type == PATCHES["apply"]:
            query.setdefault("fieldManager", "fuzz")
        accept = dice.choice(ACCEPTED) if dice.random() < 0.3 else "application/json"
        return method, quote(path) + (f"?{urlencode(query)}" if query else ""), body, media_type, accept

    def body(self, method: str, collection: str, name: str) -> tuple[str, bytes]:
        dice = self.dice
        obj = self.seeds[collection]
        if obj["metadata"]["name"] == "a":
            obj = {**obj, "metadata": {"name": name}}
        value: Any = self.mutated(obj) if dice.random() < 0.85 else obj
        media_type = dice.choice(list(PATCHES.values())) if method == "PATCH" else "application/json"
        if media_type == PATCHES["json"]:
            value = self.operations(obj)
        if dice.random() < 0.1:
            media_type = dice.choice(MEDIA_TYPES)
        if media_type == "application/vnd.kubernetes.protobuf":
            return media_type, b"k8s\x00" + dice.randbytes(dice.randrange(60))
        if media_type.endswith("yaml") and dice.random() < 0.5:
            return media_type, self.garbled(yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "replace"))
        return media_type, self.garbled(json.dumps(value, ensure_ascii=dice.random() < 0.5).encode("utf-8", "replace"))


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of a value."""
    for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(item, dict | list):
            yield from places(item)
