"""Users that are stored in one cluster and get permissions in another one: owners of workspaces.

The same name may mean another user there. `globally_named` gives a name that means the same user in all clusters. `confined`
limits a stored user to the cluster that was created for it.
"""

from __future__ import annotations

from dataclasses import replace

from tenantry.apiserver.user import (
    CREDENTIAL_ID_EXTRA,
    SCOPES_EXTRA,
    WARRANT_EXTRA,
    User,
    home_of,
    seen_in,
    with_home,
    without_privileges,
)

_OF_ONE_REQUEST = frozenset({WARRANT_EXTRA, CREDENTIAL_ID_EXTRA})
"""Extra values of one request or token. They are not stored."""


class KnownInOneCluster(Exception):
    """The user's name is valid in one cluster only."""


def globally_named(user: User, here: str) -> User:
    """The caller in cluster `here` (id), by a name that means the same user in other clusters, so that it may be stored.

    A service account gets its global name. An impersonated user keeps its scopes, which are not valid in other clusters. Raises
    KnownInOneCluster.
    """
    user = seen_in(with_home(user, here), "")
    if home_of(user):
        raise KnownInOneCluster(f"user {user.name!r} is known in logical cluster {home_of(user)} only")
    return replace(user, extra=tuple((key, values) for key, values in user.extra if key not in _OF_ONE_REQUEST))


def confined(user: User, cluster: str) -> User:
    """A stored user without its privileged groups, for another user who acts as it in `cluster` (id), which was created for
    it.

    If the user had scopes or privileged groups, its scope becomes this cluster, so that permissions in other clusters do not
    count.
    """
    plain = without_privileges(user)
    if plain.groups == user.groups and not user.extra_values(SCOPES_EXTRA):
        return plain
    return replace(plain, extra=tuple(sorted({**dict(plain.extra), SCOPES_EXTRA: (f"cluster:{cluster}",)}.items())))
