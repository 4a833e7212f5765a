"""Who is calling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ANONYMOUS = "system:anonymous"
AUTHENTICATED_GROUP = "system:authenticated"
UNAUTHENTICATED_GROUP = "system:unauthenticated"
MASTERS_GROUP = "system:masters"
KCP_ADMIN_GROUP = "system:kcp:admin"
LOGICAL_CLUSTER_ADMIN_GROUP = "system:kcp:logical-cluster-admin"
EXTERNAL_LOGICAL_CLUSTER_ADMIN_GROUP = "system:kcp:external-logical-cluster-admin"
WORKSPACE_BOOTSTRAPPER_GROUP = "system:kcp:tenancy:workspace-bootstrapper"

CLUSTER_NAME_EXTRA = "authentication.kcp.io/cluster-name"
"""The logical cluster that a service account comes from."""
SCOPES_EXTRA = "authentication.kcp.io/scopes"
WARRANT_EXTRA = "authorization.kcp.io/warrant"
SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"
_SERVICE_ACCOUNTS_GROUP = "system:serviceaccounts"


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated identity (user.Info). Immutable and hashable by value, so that decisions can be cached by it."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def extra_values(self, key: str) -> tuple[str, ...]:
        for name, values in self.extra:
            if name == key:
                return values
        return ()

    @property
    def is_master(self) -> bool:
        return MASTERS_GROUP in self.groups

    def to_user_info(self) -> dict[str, object]:
        """authentication.k8s.io/v1 UserInfo."""
        out: dict[str, object] = {"username": self.name}
        if self.uid:
            out["uid"] = self.uid
        if self.groups:
            out["groups"] = list(self.groups)
        if self.extra:
            out["extra"] = {k: list(v) for k, v in self.extra}
        return out


def make_extra(extra: Mapping[str, list[str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple(sorted((k, tuple(v)) for k, v in extra.items()))


def service_account_name(namespace: str, name: str) -> str:
    """The user that a service account is."""
    return f"{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}"


def service_account_groups(namespace: str) -> tuple[str, ...]:
    """Its groups, besides that of all who are authenticated."""
    return (_SERVICE_ACCOUNTS_GROUP, f"{_SERVICE_ACCOUNTS_GROUP}:{namespace}")


SYSTEM = User("system:apiserver", (MASTERS_GROUP, AUTHENTICATED_GROUP))
"""The process itself: reconcilers and calls between shards."""
