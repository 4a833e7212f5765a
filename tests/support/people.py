"""Callers of servers in memory, which no authenticator has to find out."""

from __future__ import annotations

from tenantry.apiserver.user import AUTHENTICATED_GROUP, KCP_ADMIN_GROUP, MASTERS_GROUP, User

MASTER = User("system:admin", (MASTERS_GROUP, AUTHENTICATED_GROUP))
ADMIN = User("kcp-admin", (KCP_ADMIN_GROUP, AUTHENTICATED_GROUP))


def person(name: str, *groups: str) -> User:
    return User(name, (*groups, AUTHENTICATED_GROUP))
