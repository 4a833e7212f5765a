"""The objects that `root` and `system:admin` are installed with: workspace types, and RBAC for kcp's APIs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tenantry.apiserver.user import (
    AUTHENTICATED_GROUP,
    EXTERNAL_LOGICAL_CLUSTER_ADMIN_GROUP,
    KCP_ADMIN_GROUP,
    LOGICAL_CLUSTER_ADMIN_GROUP,
    WORKSPACE_BOOTSTRAPPER_GROUP,
)
from tenantry.kube.objects import Object
from tenantry.tenancy.access_rules import OWNER_BINDING, OWNER_ROLE
from tenantry.tenancy.authorization.effective_users import BINDING_PREFIX
from tenantry.tenancy.types.workload_type import WORKLOADS_EXPORT
from tenantry.tenancy.well_known import PATH_ANNOTATION, ROOT

RBAC = "rbac.authorization.k8s.io"
"""The API group of RBAC."""
_READ = ("get", "list", "watch")
WORKLOADS_ROLE = "system:kubernetes-workloads:bind"
"""Lets everybody bind the export of Kubernetes' workload types."""
HOME_ROLE = "system:kcp:tenancy:home-creator"
"""Gives users a home workspace when they ask for it. Bound to the groups of --home-workspaces-home-creator-groups."""


def rule(verbs: tuple[str, ...], group: str, *resources: str, names: tuple[str, ...] = ()) -> Object:
    out: Object = {"verbs": list(verbs), "apiGroups": [group], "resources": list(resources)}
    if names:
        out["resourceNames"] = list(names)
    return out


def cluster_role(name: str, *rules: Object) -> Object:
    return {"metadata": {"name": name}, "rules": list(rules)}


def cluster_role_binding(name: str, role: str, *groups: str) -> Object:
    return {
        "metadata": {"name": name},
        "subjects": [{"kind": "Group", "apiGroup": RBAC, "name": group} for group in groups],
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
    }


def owner_binding(user_name: str) -> Object:
    """ClusterRoleBinding `workspace-admin`: the owner of a workspace may do everything in it."""
    return {
        "metadata": {"name": OWNER_BINDING},
        "subjects": [{"kind": "User", "apiGroup": RBAC, "name": user_name}],
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": OWNER_ROLE},
    }


SYSTEM_ROLES: tuple[Object, ...] = (
    cluster_role(
        "system:kcp:tenancy:reader",
        rule(_READ, "tenancy.kcp.io", "workspaces", "workspacetypes"),
        rule(_READ, "core.kcp.io", "logicalclusters"),
    ),
    cluster_role(
        "system:kcp:tenancy:workspace-bootstrapper",
        rule(("*",), "*", "*"),
        {"verbs": ["*"], "nonResourceURLs": ["*"]},
    ),
    cluster_role(
        "system:kcp:logical-cluster-admin",
        rule(("*",), "core.kcp.io", "logicalclusters", "logicalclusters/status"),
        rule(("get", "list", "watch", "update", "patch", "delete"), "tenancy.kcp.io", "workspaces", "workspaces/status"),
        {"verbs": ["access"], "nonResourceURLs": ["/"]},
    ),
    cluster_role(
        "system:kcp:external-logical-cluster-admin",
        rule(("get", "list", "watch", "update", "patch", "delete"), "core.kcp.io", "logicalclusters", "logicalclusters/status"),
        rule(("get", "list", "watch", "update", "patch", "delete"), "tenancy.kcp.io", "workspaces", "workspaces/status"),
        {"verbs": ["access"], "nonResourceURLs": ["/"]},
    ),
    cluster_role("system:kcp:workspace:access", {"verbs": ["access"], "nonResourceURLs": ["/"]}),
    cluster_role("system:kcp:metrics-reader", {"verbs": ["get"], "nonResourceURLs": ["/metrics"]}),
)
"""ClusterRoles of `system:admin` beyond Kubernetes' own."""

SYSTEM_BINDINGS: tuple[Object, ...] = (
    cluster_role_binding("system:kcp:admin", "cluster-admin", KCP_ADMIN_GROUP),
    cluster_role_binding(
        "system:kcp:tenancy:workspace-bootstrapper", "system:kcp:tenancy:workspace-bootstrapper", WORKSPACE_BOOTSTRAPPER_GROUP
    ),
    cluster_role_binding("system:kcp:logical-cluster-admin", "system:kcp:logical-cluster-admin", LOGICAL_CLUSTER_ADMIN_GROUP),
    cluster_role_binding(
        "system:kcp:external-logical-cluster-admin",
        "system:kcp:external-logical-cluster-admin",
        EXTERNAL_LOGICAL_CLUSTER_ADMIN_GROUP,
    ),
)

ROOT_ROLES: tuple[Object, ...] = (
    cluster_role(
        "system:kcp:tenancy:bind", rule(("bind",), "apis.kcp.io", "apiexports", names=("tenancy.kcp.io", "topology.kcp.io"))
    ),
    cluster_role(WORKLOADS_ROLE, rule(("bind",), "apis.kcp.io", "apiexports", names=(WORKLOADS_EXPORT,))),
    cluster_role(
        "system:kcp:tenancy:use", rule(("use",), "tenancy.kcp.io", "workspacetypes", names=("universal", "organization", "team"))
    ),
    cluster_role(
        f"{BINDING_PREFIX}tenancy.kcp.io",
        rule(("*",), "tenancy.kcp.io", "workspaces", "workspacetypes", "workspaceauthenticationconfigurations"),
        rule(_READ, "tenancy.kcp.io", "workspaces/status", "workspacetypes/status"),
    ),
    cluster_role(HOME_ROLE, rule(("get", "create"), "tenancy.kcp.io", "workspaces", names=("~",))),
    cluster_role(f"{BINDING_PREFIX}tenancy.kcp.io:admin", rule(("*",), "tenancy.kcp.io", "*")),
    cluster_role(f"{BINDING_PREFIX}topology.kcp.io", rule(("*",), "topology.kcp.io", "*")),
)

ROOT_BINDINGS: tuple[Object, ...] = (
    cluster_role_binding("system:authenticated:access", "system:kcp:workspace:access", AUTHENTICATED_GROUP),
    cluster_role_binding("system:authenticated:tenancy:reader", "system:kcp:tenancy:reader", AUTHENTICATED_GROUP),
    cluster_role_binding("system:authenticated:tenancy:bind", "system:kcp:tenancy:bind", AUTHENTICATED_GROUP),
    cluster_role_binding(WORKLOADS_ROLE, WORKLOADS_ROLE, AUTHENTICATED_GROUP),
    cluster_role_binding("system:authenticated:tenancy:use", "system:kcp:tenancy:use", AUTHENTICATED_GROUP),
    cluster_role_binding(
        f"{BINDING_PREFIX}tenancy.kcp.io", f"{BINDING_PREFIX}tenancy.kcp.io", f"{BINDING_PREFIX}{AUTHENTICATED_GROUP}"
    ),
    cluster_role_binding(
        f"{BINDING_PREFIX}tenancy.kcp.io:admin", f"{BINDING_PREFIX}tenancy.kcp.io:admin", f"{BINDING_PREFIX}{KCP_ADMIN_GROUP}"
    ),
    cluster_role_binding(
        f"{BINDING_PREFIX}topology.kcp.io", f"{BINDING_PREFIX}topology.kcp.io", f"{BINDING_PREFIX}{AUTHENTICATED_GROUP}"
    ),
)


def home_binding(groups: Iterable[str]) -> Object:
    return cluster_role_binding(HOME_ROLE, HOME_ROLE, *groups)


def _reference(name: str) -> Object:
    return {"name": name, "path": ROOT}


def _type(name: str, **spec: Any) -> Object:
    return {"metadata": {"name": name, "annotations": {PATH_ANNOTATION: ROOT}}, "spec": spec}


WORKSPACE_TYPES: tuple[Object, ...] = (
    _type(
        "root",
        defaultChildWorkspaceType=_reference("organization"),
        extend={"with": [_reference("universal")]},
        limitAllowedParents={"none": True},
    ),
    _type(
        "universal",
        initializer=True,
        defaultChildWorkspaceType=_reference("universal"),
        defaultAPIBindings=[{"path": ROOT, "export": "tenancy.kcp.io"}, {"path": ROOT, "export": "topology.kcp.io"}],
    ),
    _type(
        "organization",
        defaultChildWorkspaceType=_reference("universal"),
        extend={"with": [_reference("universal")]},
        limitAllowedParents={"types": [_reference("root")]},
    ),
    _type(
        "team",
        defaultChildWorkspaceType=_reference("universal"),
        extend={"with": [_reference("universal")]},
        limitAllowedParents={"types": [_reference("organization"), _reference("team")]},
    ),
    _type(
        "home",
        defaultChildWorkspaceType=_reference("universal"),
        extend={"with": [_reference("universal")]},
        limitAllowedParents={"none": True},
    ),
)
"""`root:universal` has an initializer as in kcp. Its work is done when a workspace is created
(`workspaces/initial_contents.py`)."""
