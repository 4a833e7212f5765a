"""The user as whom a provider writes in a consumer's workspace: itself, with a warrant of that workspace (kcp)."""

from __future__ import annotations

import orjson

from tenantry.apiserver.user import CLUSTER_NAME_EXTRA, KCP_ADMIN_GROUP, WARRANT_EXTRA, User, service_account_name
from tenantry.base.cache import cached

_WARRANT_USER = service_account_name("default", "~provider")
"""A service account, so that the warrant is valid in one cluster. No service account can have this name, so that nothing is
granted to it in other clusters. kcp's is called `rest`."""


@cached("warrants", bytes_max=1 << 20)
def with_warrant(user: User, cluster: str) -> User:
    """The user with a warrant that makes it an administrator in `cluster` only.

    Admission sees the provider's own name, and checks the provider's own permissions in other clusters, for example to bind
    another export.
    """
    warrant = orjson.dumps(
        {"user": _WARRANT_USER, "groups": [KCP_ADMIN_GROUP], "extra": {CLUSTER_NAME_EXTRA: [cluster]}}
    ).decode()
    others = tuple((key, values) for key, values in user.extra if key != WARRANT_EXTRA)
    extra = tuple(sorted((*others, (WARRANT_EXTRA, (*user.extra_values(WARRANT_EXTRA), warrant)))))
    return User(user.name, user.groups, user.uid, extra)
