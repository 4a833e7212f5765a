"""The specs of the FlowSchemas and PriorityLevelConfigurations that every Kubernetes cluster has (KEP-1040).

Mandatory ones always have these specs. Suggested ones may be changed: see `is_kept_current`.
"""

from __future__ import annotations

from collections.abc import Sequence

from tenantry.kube.objects import Object

AUTO_UPDATE = "apf.kubernetes.io/autoupdate-spec"
"""The annotation that says whether the server keeps the spec of a standard object as it is here."""
EXEMPT, CATCH_ALL = "exempt", "catch-all"
_EVERYBODY = ("system:unauthenticated", "system:authenticated")
_CONTROLLER_MANAGER, _SCHEDULER = "system:kube-controller-manager", "system:kube-scheduler"


def _limited(shares: int, lendable: int, queues: int = 0, hand: int = 0) -> Object:
    """A limited level. Without queues it refuses what it has no seat for."""
    queuing: Object = {"queues": queues, "handSize": hand, "queueLengthLimit": 50}
    response: Object = {"type": "Queue", "queuing": queuing} if queues else {"type": "Reject"}
    return {
        "type": "Limited",
        "limited": {"nominalConcurrencyShares": shares, "limitResponse": response, "lendablePercent": lendable},
    }


MANDATORY_LEVELS: dict[str, Object] = {
    CATCH_ALL: _limited(5, 0),
    EXEMPT: {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}},
}
SUGGESTED_LEVELS: dict[str, Object] = {
    "system": _limited(30, 33, 64, 6),
    "node-high": _limited(40, 25, 64, 6),
    "leader-election": _limited(10, 0, 16, 4),
    "workload-high": _limited(40, 50, 128, 6),
    "workload-low": _limited(100, 90, 128, 6),
    "global-default": _limited(20, 50, 128, 6),
}


def _groups(*names: str) -> list[Object]:
    return [{"kind": "Group", "group": {"name": name}} for name in names]


def _users(*names: str) -> list[Object]:
    return [{"kind": "User", "user": {"name": name}} for name in names]


def _system_accounts() -> list[Object]:
    return [{"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": "*"}}]


def _resources(verbs: Sequence[str], group: str, resources: Sequence[str], *, clusters: bool) -> Object:
    rule: Object = {"verbs": list(verbs), "apiGroups": [group], "resources": list(resources)}
    return rule | ({"clusterScope": True} if clusters else {}) | {"namespaces": ["*"]}


_EVERY_RESOURCE = _resources(["*"], "*", ["*"], clusters=True)
_EVERY_URL: Object = {"verbs": ["*"], "nonResourceURLs": ["*"]}


def _schema(level: str, precedence: int, by: str, subjects: list[Object], rules: Object | None = None) -> Object:
    """`by`: the method of the distinguisher, empty for none. `rules`: None for every request."""
    every: Object = {"resourceRules": [_EVERY_RESOURCE], "nonResourceRules": [_EVERY_URL]}
    spec: Object = {"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence}
    if by:
        spec["distinguisherMethod"] = {"type": by}
    spec["rules"] = [{"subjects": subjects} | (every if rules is None else rules)]
    return spec


def _leases(verbs: Sequence[str]) -> Object:
    return _resources(verbs, "coordination.k8s.io", ["leases"], clusters=False)


MANDATORY_SCHEMAS: dict[str, Object] = {
    EXEMPT: _schema(EXEMPT, 1, "", _groups("system:masters")),
    CATCH_ALL: _schema(CATCH_ALL, 10000, "ByUser", _groups(*_EVERYBODY)),
}
SUGGESTED_SCHEMAS: dict[str, Object] = {
    "system-nodes": _schema("system", 500, "ByUser", _groups("system:nodes")),
    "system-node-high": _schema(
        "node-high",
        400,
        "ByUser",
        _groups("system:nodes"),
        {"resourceRules": [_resources(["*"], "", ["nodes", "nodes/status"], clusters=True), _leases(["*"])]},
    ),
    "probes": _schema(
        EXEMPT,
        2,
        "",
        _groups(*_EVERYBODY),
        {"nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}]},
    ),
    "system-leader-election": _schema(
        "leader-election",
        100,
        "ByUser",
        _users(_CONTROLLER_MANAGER, _SCHEDULER) + _system_accounts(),
        {"resourceRules": [_leases(["get", "create", "update"])]},
    ),
    "kube-controller-manager": _schema("workload-high", 800, "ByNamespace", _users(_CONTROLLER_MANAGER)),
    "kube-scheduler": _schema("workload-high", 800, "ByNamespace", _users(_SCHEDULER)),
    "kube-system-service-accounts": _schema("workload-high", 900, "ByNamespace", _system_accounts()),
    "service-accounts": _schema("workload-low", 9000, "ByUser", _groups("system:serviceaccounts")),
    "global-default": _schema("global-default", 9900, "ByUser", _groups(*_EVERYBODY)),
}
STANDARD_LEVELS = MANDATORY_LEVELS | SUGGESTED_LEVELS
STANDARD_SCHEMAS = MANDATORY_SCHEMAS | SUGGESTED_SCHEMAS
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))


def parse_bool(text: str | None) -> bool | None:
    """A bool as Go's strconv.ParseBool reads it, None where it reads none."""
    return True if text in _TRUE else False if text in _FALSE else None


def is_kept_current(obj: Object, *, mandatory: bool) -> bool:
    """Whether the server keeps the spec of a standard object as it is here. For a suggested one its annotation says so; without
    one, its spec must be the first."""
    if mandatory:
        return True
    metadata = obj["metadata"]
    chosen = parse_bool((metadata.get("annotations") or {}).get(AUTO_UPDATE))
    return chosen if chosen is not None else metadata.get("generation") == 1


def _alike(found: Object, spec: Object) -> bool:
    """Whether a spec is the one that it should be. What an exempt level lends is the operator's to decide."""
    exempt = found.get("exempt")
    return found == (spec if exempt is None or "exempt" not in spec else {**spec, "exempt": exempt})


def revised(obj: Object, spec: Object, *, mandatory: bool) -> Object | None:
    """A standard object as the server would have it, None where it is so already. `spec`: the one from the tables above."""
    metadata = obj["metadata"]
    kept = is_kept_current(obj, mandatory=mandatory)
    annotations = metadata.get("annotations") or {}
    marked = parse_bool(annotations.get(AUTO_UPDATE)) == kept
    current = not kept or _alike(obj.get("spec") or {}, spec)
    if marked and current:
        return None
    made = obj if current else {**obj, "spec": spec}
    if not marked:
        made = {**made, "metadata": {**metadata, "annotations": {**annotations, AUTO_UPDATE: "true" if kept else "false"}}}
    return made
