"""Who a caller counts as in a logical cluster: kcp's scopes, warrants and foreign service accounts.

A service account belongs to one cluster; elsewhere it counts as a stand-in for strangers, and as the user
`system:kcp:serviceaccount:<cluster>:<namespace>:<name>` that other clusters can grant to.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from tenantry.apiserver.user import (
    ANONYMOUS,
    AUTHENTICATED_GROUP,
    CLUSTER_NAME_EXTRA,
    SCOPES_EXTRA,
    SERVICE_ACCOUNT_PREFIX,
    UNAUTHENTICATED_GROUP,
    WARRANT_EXTRA,
    User,
    make_extra,
)

GLOBAL_SERVICE_ACCOUNT_PREFIX = "system:kcp:serviceaccount:"
FOREIGN_GROUP_PREFIX = "system:cluster:"
BINDING_PREFIX = "apis.kcp.io:binding:"
_CLUSTER_SCOPE = "cluster:"
_WARRANT_DEPTH = 8


def is_service_account(user: User) -> bool:
    return user.name.startswith(SERVICE_ACCOUNT_PREFIX)


def home_of(user: User) -> str:
    """The cluster that a service account comes from; empty where it is not said."""
    values = user.extra_values(CLUSTER_NAME_EXTRA)
    return values[0] if values else ""


def is_local(user: User, cluster: str) -> bool:
    """A service account of this cluster, unless its scopes are elsewhere. One without an origin counts as local: access reviews
    and impersonation name users so."""
    return is_service_account(user) and _in_scope(user, cluster)


@lru_cache(maxsize=4096)
def effective_users(user: User, cluster: str) -> tuple[User, ...]:
    """Everybody that `user` counts as in `cluster`; permissions of any of them are enough."""
    if not user.extra and not is_service_account(user):
        return (user,)
    return _effective(user, cluster, _WARRANT_DEPTH)


def _effective(user: User, cluster: str, depth: int) -> tuple[User, ...]:
    found: list[User] = []
    if _in_scope(user, cluster):
        found.append(user)
    else:
        found.append(_stranger(user))
    global_name = global_service_account(user)
    if global_name:
        found.append(User(global_name, (AUTHENTICATED_GROUP,)))
    if depth:
        for text in user.extra_values(WARRANT_EXTRA):
            warrant = _parse_warrant(text)
            if warrant is not None and not (is_service_account(warrant) and not home_of(warrant)):
                found.extend(_effective(warrant, cluster, depth - 1))
    return tuple(dict.fromkeys(found))


def _in_scope(user: User, cluster: str) -> bool:
    if is_service_account(user) and home_of(user) not in ("", cluster):
        return False
    for value in user.extra_values(SCOPES_EXTRA):
        allowed = [part.strip() for part in value.split(",")]
        if f"{_CLUSTER_SCOPE}{cluster}" not in allowed:
            return False
    return True


def _stranger(user: User) -> User:
    """What is left of an identity that has no standing in a cluster."""
    if AUTHENTICATED_GROUP not in user.groups:
        return User(ANONYMOUS, (UNAUTHENTICATED_GROUP,))
    home = home_of(user)
    return User(ANONYMOUS, (AUTHENTICATED_GROUP, f"{FOREIGN_GROUP_PREFIX}{home}") if home else (AUTHENTICATED_GROUP,))


def global_service_account(user: User) -> str:
    """The name under which other clusters can grant to a service account; empty for others."""
    home = home_of(user)
    if not home or not is_service_account(user):
        return ""
    return f"{GLOBAL_SERVICE_ACCOUNT_PREFIX}{home}:{user.name.removeprefix(SERVICE_ACCOUNT_PREFIX)}"


def _parse_warrant(text: str) -> User | None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("user"), str):
        return None
    extra = value.get("extra")
    return User(
        value["user"], _texts(value.get("groups")), str(value.get("uid") or ""), _extra(extra) if isinstance(extra, dict) else ()
    )


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()


def _extra(value: Mapping[str, Any]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return make_extra({key: list(_texts(values)) for key, values in value.items()})


@lru_cache(maxsize=4096)
def as_bound_user(user: User) -> User:
    """The identity that a maximal permission policy is asked about: name, groups and warrants prefixed `apis.kcp.io:binding:`.

    Service accounts appear under their global name. Scopes are dropped: they are about the consumer's cluster, where they were
    looked at, and the policy is the provider's.
    """
    name = global_service_account(user) or user.name
    dropped = (SCOPES_EXTRA, WARRANT_EXTRA, *((CLUSTER_NAME_EXTRA,) if is_service_account(user) else ()))
    extra = {key: list(values) for key, values in user.extra if key not in dropped}
    warrants = [warrant for text in user.extra_values(WARRANT_EXTRA) if (warrant := _parse_warrant(text)) is not None]
    if warrants:
        extra[WARRANT_EXTRA] = [_warrant_text(as_bound_user(warrant)) for warrant in warrants]
    return User(f"{BINDING_PREFIX}{name}", tuple(f"{BINDING_PREFIX}{g}" for g in user.groups), user.uid, make_extra(extra))


def _warrant_text(user: User) -> str:
    extra = {key: list(values) for key, values in user.extra}
    return orjson.dumps({"user": user.name, "uid": user.uid, "groups": user.groups, "extra": extra}).decode()
