"""The effective users of a caller in a logical cluster: kcp's scopes, warrants and foreign service accounts.

A service account belongs to one cluster. In other clusters it is an anonymous user in the group system:authenticated, and the
user `system:kcp:serviceaccount:<cluster>:<namespace>:<name>`, to which other clusters can grant permissions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from tenantry.apiserver.user import (
    AUTHENTICATED_GROUP,
    WARRANT_EXTRA,
    User,
    global_service_account,
    home_of,
    is_in_scope,
    is_service_account,
    make_extra,
    out_of_scope,
)
from tenantry.base.cache import cached

BINDING_PREFIX = "apis.kcp.io:binding:"
_WARRANT_DEPTH = 8


def is_local(user: User, cluster: str) -> bool:
    """Whether it is a service account of this cluster, and its scopes allow the cluster. A service account without an origin
    counts as local, because access reviews and impersonation give none."""
    return is_service_account(user) and is_in_scope(user, cluster)


def effective_users(user: User, cluster: str) -> tuple[User, ...]:
    """The effective users of `user` in `cluster` (id). A permission of any of them is enough."""
    if not user.extra and not is_service_account(user):
        return (user,)
    return _effective_users(user, cluster)


@cached("effective_users", bytes_max=1 << 20)
def _effective_users(user: User, cluster: str) -> tuple[User, ...]:
    return _effective(user, cluster, _WARRANT_DEPTH)


def _effective(user: User, cluster: str, depth: int) -> tuple[User, ...]:
    found: list[User] = []
    if is_in_scope(user, cluster):
        found.append(user)
    else:
        found.append(out_of_scope(user))
    global_name = global_service_account(user)
    if global_name:
        found.append(User(global_name, (AUTHENTICATED_GROUP,)))
    if depth:
        for text in user.extra_values(WARRANT_EXTRA):
            warrant = _parse_warrant(text)
            if warrant is not None and not (is_service_account(warrant) and not home_of(warrant)):
                found.extend(_effective(warrant, cluster, depth - 1))
    return tuple(dict.fromkeys(found))


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


@cached("bound_users", bytes_max=1 << 20)
def bound_users(user: User, cluster: str) -> tuple[User, ...]:
    """The users to whom the maximal permission policy of an export in `cluster` applies: the effective users there, with the
    prefix `apis.kcp.io:binding:` on every name and group.

    The policy is RBAC of the provider's cluster. So users who were impersonated in the consumer's cluster are out of scope, and
    a service account has only its global name.
    """
    found = effective_users(user, cluster)
    return tuple(
        User(f"{BINDING_PREFIX}{each.name}", tuple(f"{BINDING_PREFIX}{group}" for group in each.groups)) for each in found
    )
