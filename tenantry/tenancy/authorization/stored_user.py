"""A user who is written down in one cluster and acts, or is granted something, in another: the owner of a workspace.

A name may mean somebody else there. `globally_named` gives the one that means the same everywhere, and `inside` confines whoever
is written down to the cluster that was made for it.
"""

from __future__ import annotations

from dataclasses import replace

from tenantry.apiserver.authentication.service_account import CREDENTIAL_ID_EXTRA
from tenantry.apiserver.user import SCOPES_EXTRA, WARRANT_EXTRA, User, home_of, seen_in, with_home, without_privileges

_OF_ONE_REQUEST = frozenset({WARRANT_EXTRA, CREDENTIAL_ID_EXTRA})
"""Extras about a request or a token; nobody is them for longer."""


class KnownInOneCluster(Exception):
    """The user has no name outside of the cluster that gave it one."""


def globally_named(user: User, here: str) -> User:
    """The user who asks in cluster `here`, as any other cluster knows it: what may be stored, and used elsewhere.

    A service account gets its global name; whoever was impersonated keeps the scope that makes it a stranger to other clusters.
    Raises KnownInOneCluster.
    """
    user = seen_in(with_home(user, here), "")
    if home_of(user):
        raise KnownInOneCluster(f"user {user.name!r} is known in logical cluster {home_of(user)} only")
    return replace(user, extra=tuple((key, values) for key, values in user.extra if key not in _OF_ONE_REQUEST))


def inside(user: User, cluster: str) -> User:
    """A stored user in the cluster that was made for it, as whom somebody else acts there: without its privileges.

    One with scopes was nobody outside of where it was impersonated, and is nobody outside of this one. One with privileges is
    nobody there either: what it was granted elsewhere, as the maker of others' workspaces for example, it was trusted with.
    """
    plain = without_privileges(user)
    if plain.groups == user.groups and not user.extra_values(SCOPES_EXTRA):
        return plain
    return replace(plain, extra=tuple(sorted({**dict(plain.extra), SCOPES_EXTRA: (f"cluster:{cluster}",)}.items())))
