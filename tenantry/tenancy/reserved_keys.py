"""Which keys of labels and annotations are reserved for the platform, and who may write them.

All keys of the domains `kcp.io` and `tenantry.dev` are reserved, on objects of every type, except those in `OPEN`.
"""

from __future__ import annotations

from typing import NamedTuple

from tenantry.apiserver.user import KCP_ADMIN_GROUP, MASTERS_GROUP, User
from tenantry.kube.objects import GroupResource
from tenantry.tenancy.authorization.effective_users import effective_users

LABELS, ANNOTATIONS = "labels", "annotations"
RESERVED_DOMAINS = ("kcp.io", "tenantry.dev")


class Open(NamedTuple):
    """Keys that users may write. A `prefix` that ends in `/` means all keys of the domain; others are one key. No `types`: on
    every type."""

    field: str
    prefix: str
    types: frozenset[GroupResource] = frozenset()


def _types(*names: str) -> frozenset[GroupResource]:
    return frozenset(GroupResource(*name.split("/")) for name in names)


OPEN = (
    Open(ANNOTATIONS, "extra.apis.kcp.io/", _types("apis.kcp.io/apiexports", "apis.kcp.io/apibindings")),
    Open(ANNOTATIONS, "apis.v1alpha2.kcp.io/", _types("apis.kcp.io/apiexports", "apis.kcp.io/apibindings")),
    Open(ANNOTATIONS, "apiexports.apis.kcp.io/skip-endpointslice", _types("apis.kcp.io/apiexports")),
    Open(ANNOTATIONS, "experimental.quota.kcp.io/cluster-scoped", _types("/resourcequotas")),
    Open(ANNOTATIONS, "experimental.core.kcp.io/unschedulable", _types("core.kcp.io/shards")),
    Open(ANNOTATIONS, "preserve.conversion.apis.kcp.io/"),
    Open(ANNOTATIONS, "syncagent.kcp.io/"),
    Open(LABELS, "syncagent.kcp.io/"),
    Open(LABELS, "state.workload.kcp.io/"),
    Open(LABELS, "held.internal.workload.kcp.io/"),
    Open(ANNOTATIONS, "experimental.spec-diff.workload.kcp.io/"),
    Open(ANNOTATIONS, "deletion.internal.workload.kcp.io/"),
    Open(ANNOTATIONS, "conflict.workload.kcp.io/"),
    Open(ANNOTATIONS, "experimental.status.workload.kcp.io/"),
    Open(ANNOTATIONS, "workload.kcp.io/rv"),
    Open(LABELS, "internal.workload.kcp.io/cluster"),
    Open(ANNOTATIONS, "internal.workload.kcp.io/"),
    Open(ANNOTATIONS, "kcp.io/namespace-locator"),
    Open(ANNOTATIONS, "applied.views.tenantry.dev/"),
)
"""In this order: what a provider passes on to bindings; fields that the older version of a type does not have; options for
users; what a conversion keeps; the keys of kcp's api-syncagent, which is an ordinary user; what users say about SyncTargets, and
their syncers answer; what a syncer, also an ordinary user, writes on the objects that it owns below; and what users of a declared
view applied with kubectl."""


def is_privileged(user: User, cluster: str) -> bool:
    """Whether a user may write reserved keys in a cluster: system:masters and system:kcp:admin. Groups from warrants, and
    groups of another cluster, do not count."""
    groups = effective_users(user, cluster)[0].groups
    return MASTERS_GROUP in user.groups or KCP_ADMIN_GROUP in groups


def is_reserved(field: str, key: str, resource: GroupResource) -> bool:
    """Whether a key of `labels` or `annotations` (`field`) is reserved on objects of a type."""
    domain, slash, _ = key.partition("/")
    if not slash or not any(domain == each or domain.endswith(f".{each}") for each in RESERVED_DOMAINS):
        return False
    return not any(
        field == each.field
        and (key.startswith(each.prefix) if each.prefix.endswith("/") else key == each.prefix)
        and (not each.types or resource in each.types)
        for each in OPEN
    )
