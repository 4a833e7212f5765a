"""The identity of a caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

ANONYMOUS = "system:anonymous"
AUTHENTICATED_GROUP = "system:authenticated"
UNAUTHENTICATED_GROUP = "system:unauthenticated"
MASTERS_GROUP = "system:masters"
KCP_ADMIN_GROUP = "system:kcp:admin"
LOGICAL_CLUSTER_ADMIN_GROUP = "system:kcp:logical-cluster-admin"
EXTERNAL_LOGICAL_CLUSTER_ADMIN_GROUP = "system:kcp:external-logical-cluster-admin"
WORKSPACE_BOOTSTRAPPER_GROUP = "system:kcp:tenancy:workspace-bootstrapper"
LIFECYCLE_GROUPS = frozenset(
    {MASTERS_GROUP, LOGICAL_CLUSTER_ADMIN_GROUP, EXTERNAL_LOGICAL_CLUSTER_ADMIN_GROUP, WORKSPACE_BOOTSTRAPPER_GROUP}
)
"""Users in one of these groups may write what controls the life cycle of a workspace."""

CLUSTER_NAME_EXTRA = "authentication.kcp.io/cluster-name"
"""The logical cluster that a service account comes from, or that alone knows the user."""
CREDENTIAL_ID_EXTRA = "authentication.kubernetes.io/credential-id"
SCOPES_EXTRA = "authentication.kcp.io/scopes"
WARRANT_EXTRA = "authorization.kcp.io/warrant"
SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"
GLOBAL_SERVICE_ACCOUNT_PREFIX = "system:kcp:serviceaccount:"
FOREIGN_GROUP_PREFIX = "system:cluster:"
_SERVICE_ACCOUNTS_GROUP = "system:serviceaccounts"
INITIALIZER_GROUP_PREFIX = "system:kcp:initializer:"
TERMINATOR_GROUP_PREFIX = "system:kcp:terminator:"
"""The views of initializers and terminators give a group with this prefix to a caller, where the workspace type restricts what
the caller may do."""
SYSTEM_PREFIX = "system:"
SYSTEM_EXTRA_DOMAINS = ("kcp.io", "tenantry.dev")
"""Only the platform itself sets extra values of these domains."""
_CLUSTER_SCOPE = "cluster:"
_NAMING_GROUPS = frozenset({AUTHENTICATED_GROUP, UNAUTHENTICATED_GROUP, _SERVICE_ACCOUNTS_GROUP})
_CONFINING_EXTRAS = frozenset({CLUSTER_NAME_EXTRA, SCOPES_EXTRA})


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated identity (k8s.io/apiserver user.Info). Immutable and hashable by value, so that decisions can be
    cached."""

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


def as_authenticated(user: User) -> User:
    """The user in the group of all who are authenticated. Who is called anonymous, or is said to be unauthenticated, is not in it
    (kube-apiserver)."""
    if user.name == ANONYMOUS or AUTHENTICATED_GROUP in user.groups or UNAUTHENTICATED_GROUP in user.groups:
        return user
    return replace(user, groups=(*user.groups, AUTHENTICATED_GROUP))


def make_extra(extra: Mapping[str, list[str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple(sorted((k, tuple(v)) for k, v in extra.items()))


def service_account_name(namespace: str, name: str) -> str:
    """The user that a service account is."""
    return f"{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}"


def is_service_account(user: User) -> bool:
    return user.name.startswith(SERVICE_ACCOUNT_PREFIX)


def home_of(user: User) -> str:
    """The logical cluster that a user comes from. Empty where it is not given, or where the user comes from no cluster."""
    values = user.extra_values(CLUSTER_NAME_EXTRA)
    return values[0] if values else ""


def of_cluster(user: User, cluster: str) -> User:
    """The user as one whom only this logical cluster knows, and whom it authenticates itself (kcp: workspace authentication)."""
    extra = {**dict(user.extra), CLUSTER_NAME_EXTRA: (cluster,), SCOPES_EXTRA: (f"cluster:{cluster}",)}
    return replace(user, extra=tuple(sorted(extra.items())))


def is_known_in(user: User, cluster: str | None) -> bool:
    """Whether a user may be authenticated for requests in a logical cluster (None: in none, or in several). Only one of
    `of_cluster` is not known everywhere. Service accounts are: elsewhere they have another name (`seen_in`)."""
    home = home_of(user) if user.extra else ""
    return not home or home == cluster or is_service_account(user)


def with_home(user: User, cluster: str) -> User:
    """The user; a service account without a cluster, as access reviews and impersonation name it, becomes one of `cluster`."""
    if not is_service_account(user) or home_of(user) or not cluster:
        return user
    return replace(user, extra=tuple(sorted((*user.extra, (CLUSTER_NAME_EXTRA, (cluster,))))))


def global_service_account(user: User) -> str:
    """The name by which other clusters can grant rights to a service account. Empty for other users."""
    home = home_of(user)
    if not home or not is_service_account(user):
        return ""
    return f"{GLOBAL_SERVICE_ACCOUNT_PREFIX}{home}:{user.name.removeprefix(SERVICE_ACCOUNT_PREFIX)}"


def seen_in(user: User, cluster: str) -> User:
    """The user with a name that is correct in `cluster`: a service account of another cluster gets its global name."""
    if not user.extra:
        # It comes from no cluster.
        return user
    home = home_of(user)
    if home == cluster or not (name := global_service_account(user)):
        return user
    extra = tuple((key, values) for key, values in user.extra if key != CLUSTER_NAME_EXTRA)
    return User(name, (AUTHENTICATED_GROUP, f"{FOREIGN_GROUP_PREFIX}{home}"), user.uid, extra)


def is_in_scope(user: User, cluster: str) -> bool:
    """Whether the names of a user mean something in a cluster. They do not outside of its scopes (kcp), nor does the local name
    of a service account outside of its cluster. A service account without a cluster is one of the cluster that is asked about,
    because access reviews and impersonation give none."""
    if is_service_account(user) and home_of(user) not in ("", cluster):
        return False
    for value in user.extra_values(SCOPES_EXTRA):
        allowed = [part.strip() for part in value.split(",")]
        if f"{_CLUSTER_SCOPE}{cluster}" not in allowed:
            return False
    return True


def out_of_scope(user: User) -> User:
    """What a user is in a cluster in which it is not in scope."""
    if AUTHENTICATED_GROUP not in user.groups:
        return User(ANONYMOUS, (UNAUTHENTICATED_GROUP,))
    home = home_of(user)
    return User(ANONYMOUS, (AUTHENTICATED_GROUP, f"{FOREIGN_GROUP_PREFIX}{home}") if home else (AUTHENTICATED_GROUP,))


def seen_by_provider(user: User, provider: str) -> User:
    """Who a provider is told writes an object of its API in a consumer's workspace: the user under the name that it has in the
    provider's cluster. So no consumer takes the name of the provider's own people by impersonation, or by a login of its
    workspace alone. Extra values (sessions, scopes, warrants) stay with the consumer."""
    known = seen_in(user, provider)
    if known is user and not is_in_scope(user, provider):
        known = out_of_scope(user)
    return replace(known, extra=())


def service_account_groups(namespace: str) -> tuple[str, ...]:
    """The groups of a service account, besides that of all authenticated users."""
    return (_SERVICE_ACCOUNTS_GROUP, f"{_SERVICE_ACCOUNTS_GROUP}:{namespace}")


def is_privileged_group(group: str) -> bool:
    """Whether a group gives more rights than an ordinary login has. This is every group of the platform except those that hold
    all authenticated users, all service accounts, or all service accounts of one cluster. So a new group of the platform is
    privileged until it is listed here."""
    if not group.startswith(SYSTEM_PREFIX):
        return False
    return group not in _NAMING_GROUPS and not group.startswith((f"{_SERVICE_ACCOUNTS_GROUP}:", FOREIGN_GROUP_PREFIX))


def is_system_extra(key: str) -> bool:
    """Whether only the platform itself sets this extra value."""
    domain = key.partition("/")[0]
    return any(domain == each or domain.endswith(f".{each}") for each in SYSTEM_EXTRA_DOMAINS)


def without_privileges(user: User) -> User:
    """The user without privileged groups and warrants, for others who act in its name. What restricts the user (scopes, the
    cluster of a service account) stays."""
    groups = tuple(group for group in user.groups if not is_privileged_group(group))
    extra = tuple((key, values) for key, values in user.extra if key in _CONFINING_EXTRAS or not is_system_extra(key))
    return User(user.name, groups, user.uid, extra)


SYSTEM = User("system:apiserver", (MASTERS_GROUP, AUTHENTICATED_GROUP))
"""The process itself: controllers and calls between shards."""
