"""As whom a provider acts in a consumer's workspace: as itself, with a warrant of that workspace beside it."""

from __future__ import annotations

import orjson

from tenantry.apiserver.user import CLUSTER_NAME_EXTRA, KCP_ADMIN_GROUP, WARRANT_EXTRA, User, service_account_name
from tenantry.base.cache import cached

_WARRANT_USER = service_account_name("default", "~provider")
"""A service account, so that it counts in one cluster; of a name that none can have, for what is granted to one elsewhere by its
global name is not the provider's. kcp's is called `rest`."""


@cached("warrants", bytes_max=1 << 20)
def with_warrant(user: User, cluster: str) -> User:
    """The user, who also counts as an administrator in `cluster` and nowhere else.

    Admission sees the provider's real name, and asks the provider's own permissions about anything outside of that cluster
    (binding to another export, for example).
    """
    warrant = orjson.dumps(
        {"user": _WARRANT_USER, "groups": [KCP_ADMIN_GROUP], "extra": {CLUSTER_NAME_EXTRA: [cluster]}}
    ).decode()
    others = tuple((key, values) for key, values in user.extra if key != WARRANT_EXTRA)
    extra = tuple(sorted((*others, (WARRANT_EXTRA, (*user.extra_values(WARRANT_EXTRA), warrant)))))
    return User(user.name, user.groups, user.uid, extra)
