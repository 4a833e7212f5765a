"""The cluster roles and bindings that exist in every logical cluster from the start.

These are Kubernetes' defaults (k8s.io/kubernetes bootstrappolicy) without those of nodes, controllers and the scheduler. The
rules of aggregated roles are filled in, so that they apply before the aggregation controller runs.
"""

from __future__ import annotations

from tenantry.kube.objects import Object
from tenantry.kube.rbac.aggregation import aggregated_rules, is_aggregated

_GROUP = "rbac.authorization.k8s.io"
_CERTIFICATES = "certificates.k8s.io"
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_ANNOTATIONS = {"rbac.authorization.kubernetes.io/autoupdate": "true"}
_AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"

READ = ("get", "list", "watch")
WRITE = ("create", "delete", "deletecollection", "patch", "update")
READ_WRITE = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")

AUTHENTICATED, UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"


def _rule(group: str, resources: str, verbs: tuple[str, ...]) -> Object:
    return {"apiGroups": [group], "resources": resources.split(), "verbs": list(verbs)}


def _named_rule(group: str, resources: str, verbs: tuple[str, ...], name: str) -> Object:
    return _rule(group, resources, verbs) | {"resourceNames": [name]}


def _paths(paths: str, *verbs: str) -> Object:
    return {"nonResourceURLs": paths.split(), "verbs": list(verbs)}


def _role(name: str, *rules: Object, to: str = "", of: str = "") -> Object:
    """A cluster role. `to` names a role that aggregates it; `of` is the aggregation label of the roles that it aggregates."""
    labels = _LABELS | ({_AGGREGATE + to: "true"} if to else {})
    metadata = {"name": name, "labels": labels, "annotations": dict(_ANNOTATIONS)}
    role: Object = {"apiVersion": f"{_GROUP}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": list(rules)}
    if of:
        role["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {_AGGREGATE + of: "true"}}]}
    return role


def _binding(name: str, role: str, *groups: str) -> Object:
    return {
        "apiVersion": f"{_GROUP}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name, "labels": dict(_LABELS), "annotations": dict(_ANNOTATIONS)},
        "roleRef": {"apiGroup": _GROUP, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": _GROUP, "kind": "Group", "name": group} for group in groups],
    }


_EVERYTHING: tuple[Object, ...] = (_rule("*", "*", ("*",)), _paths("*", "*"))
_HEALTH = "/healthz /livez /readyz /version /version/"

# Workloads and services are served where they are bound.
_VIEWED = (
    _rule(
        "",
        "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers "
        "replicationcontrollers/scale serviceaccounts services services/status",
        READ,
    ),
    _rule(
        "",
        "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status resourcequotas "
        "resourcequotas/status",
        READ,
    ),
    _rule("", "namespaces", READ),
    _rule("discovery.k8s.io", "endpointslices", READ),
    _rule(
        "apps",
        "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets "
        "replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
        READ,
    ),
    _rule("autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status", READ),
    _rule("batch", "cronjobs cronjobs/status jobs jobs/status", READ),
    _rule("policy", "poddisruptionbudgets poddisruptionbudgets/status", READ),
    _rule("networking.k8s.io", "ingresses ingresses/status networkpolicies", READ),
)
_EDITED = (
    _rule("", "secrets", READ),
    _rule("", "serviceaccounts", ("impersonate",)),
    _rule("", "pods", WRITE),
    _rule(
        "",
        "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets serviceaccounts "
        "services",
        WRITE,
    ),
    _rule("", "serviceaccounts/token", ("create",)),
    _rule(
        "apps",
        "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets "
        "statefulsets/scale",
        WRITE,
    ),
    _rule("autoscaling", "horizontalpodautoscalers", WRITE),
    _rule("batch", "cronjobs jobs", WRITE),
    _rule("policy", "poddisruptionbudgets", WRITE),
    _rule("networking.k8s.io", "ingresses networkpolicies", WRITE),
    _rule("coordination.k8s.io", "leases", READ_WRITE),
)
_ADMINISTERED = (
    _rule("authorization.k8s.io", "localsubjectaccessreviews", ("create",)),
    _rule(_GROUP, "rolebindings roles", READ_WRITE),
)

_UPSTREAM_ROLES = (
    _role("cluster-admin", *_EVERYTHING),
    _role("admin", of="admin"),
    _role("edit", to="admin", of="edit"),
    _role("view", to="edit", of="view"),
    _role("system:aggregate-to-admin", *_ADMINISTERED, to="admin"),
    _role("system:aggregate-to-edit", *_EDITED, to="edit"),
    _role("system:aggregate-to-view", *_VIEWED, to="view"),
    _role(
        "system:basic-user",
        _rule("authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews", ("create",)),
        _rule("authentication.k8s.io", "selfsubjectreviews", ("create",)),
    ),
    _role(
        "system:discovery",
        _paths(f"/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* {_HEALTH.partition('/livez ')[2]}", "get"),
    ),
    _role("system:public-info-viewer", _paths(_HEALTH, "get")),
    _role(
        "system:service-account-issuer-discovery",
        _paths(
            "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/",
            "get",
        ),
    ),
    _role(
        "system:monitoring",
        _paths("/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*", "get"),
    ),
    _role(
        "system:auth-delegator",
        _rule("authentication.k8s.io", "tokenreviews", ("create",)),
        _rule("authorization.k8s.io", "subjectaccessreviews", ("create",)),
    ),
    *(
        _role(
            f"system:certificates.k8s.io:{name}-approver",
            _named_rule(_CERTIFICATES, "signers", ("approve",), f"kubernetes.io/{name}"),
        )
        for name in ("kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving", "legacy-unknown")
    ),
    *(
        _role(
            f"system:certificates.k8s.io:certificatesigningrequests:{name}",
            _rule(_CERTIFICATES, f"certificatesigningrequests/{name}", ("create",)),
        )
        for name in ("nodeclient", "selfnodeclient")
    ),
    _role("system:node-bootstrapper", _rule(_CERTIFICATES, "certificatesigningrequests", ("create", *READ))),
    _role("system:cluster-trust-bundle-discovery", _rule(_CERTIFICATES, "clustertrustbundles", READ)),
)


def _resolved(roles: tuple[Object, ...]) -> list[Object]:
    """The roles after aggregation. Aggregation is nested two levels deep (view in edit in admin), so three rounds are enough."""
    for _ in range(3):
        for role in roles:
            if is_aggregated(role):
                role["rules"] = aggregated_rules(role, roles)
    return list(roles)


CLUSTER_ROLES: list[Object] = _resolved(_UPSTREAM_ROLES)
CLUSTER_ROLE_BINDINGS: list[Object] = [
    _binding("cluster-admin", "cluster-admin", "system:masters"),
    _binding("system:basic-user", "system:basic-user", AUTHENTICATED),
    _binding("system:discovery", "system:discovery", AUTHENTICATED),
    _binding("system:public-info-viewer", "system:public-info-viewer", AUTHENTICATED, UNAUTHENTICATED),
    _binding("system:service-account-issuer-discovery", "system:service-account-issuer-discovery", "system:serviceaccounts"),
    _binding("system:cluster-trust-bundle-discovery", "system:cluster-trust-bundle-discovery", "system:serviceaccounts"),
    _binding("system:monitoring", "system:monitoring", "system:monitoring"),
]
