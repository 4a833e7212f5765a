"""Which keys of labels and annotations are the platform's, and who writes them: the one table of both.

Reserved is every key under `kcp.io`, on objects of every type; what users of kcp set themselves is in `OPEN`.
"""

from __future__ import annotations

from typing import NamedTuple

from tenantry.apiserver.user import KCP_ADMIN_GROUP, MASTERS_GROUP, User
from tenantry.kube.objects import GroupResource
from tenantry.tenancy.authorization.effective_users import effective_users

LABELS, ANNOTATIONS = "labels", "annotations"
RESERVED_DOMAINS = ("kcp.io", "tenantry.dev")


class Open(NamedTuple):
    """Keys that users write. A `prefix` that ends in `/` is all of a domain; without `types` they are theirs on every type."""

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
)
"""What a provider passes on to its bindings; what the older version of a type cannot say; switches of users; what a conversion
keeps; and the marks of kcp's api-syncagent, which is a user like others."""


def is_privileged(user: User, cluster: str) -> bool:
    """Whether a user writes what is the platform's, in a cluster. What others warrant for the user does not count, and neither
    does what it was elsewhere."""
    groups = effective_users(user, cluster)[0].groups
    return MASTERS_GROUP in user.groups or KCP_ADMIN_GROUP in groups


def is_reserved(field: str, key: str, resource: GroupResource) -> bool:
    """Whether a key of `labels` or `annotations` is the platform's, on objects of a type."""
    domain, slash, _ = key.partition("/")
    if not slash or not any(domain == each or domain.endswith(f".{each}") for each in RESERVED_DOMAINS):
        return False
    return not any(
        field == each.field
        and (key.startswith(each.prefix) if each.prefix.endswith("/") else key == each.prefix)
        and (not each.types or resource in each.types)
        for each in OPEN
    )
