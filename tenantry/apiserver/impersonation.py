"""Acting as somebody else by `Impersonate-*` headers: kube-apiserver's rules, after kcp's ladder of privileged groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import unquote

from tenantry.apiserver.authorization import Attributes, Authorizer
from tenantry.apiserver.forbidden import forbidden_request
from tenantry.apiserver.request import Request
from tenantry.apiserver.user import (
    ANONYMOUS,
    AUTHENTICATED_GROUP,
    EXTERNAL_LOGICAL_CLUSTER_ADMIN_GROUP,
    INITIALIZER_GROUP_PREFIX,
    KCP_ADMIN_GROUP,
    LOGICAL_CLUSTER_ADMIN_GROUP,
    MASTERS_GROUP,
    SCOPES_EXTRA,
    SERVICE_ACCOUNT_PREFIX,
    TERMINATOR_GROUP_PREFIX,
    UNAUTHENTICATED_GROUP,
    WORKSPACE_BOOTSTRAPPER_GROUP,
    User,
    is_system_extra,
    make_extra,
    service_account_groups,
    with_home,
)
from tenantry.kube import status

_PRIVILEGED = frozenset(
    {
        KCP_ADMIN_GROUP,
        WORKSPACE_BOOTSTRAPPER_GROUP,
        LOGICAL_CLUSTER_ADMIN_GROUP,
        EXTERNAL_LOGICAL_CLUSTER_ADMIN_GROUP,
        MASTERS_GROUP,
    }
)
_GIVEN_BY_VIEWS = (INITIALIZER_GROUP_PREFIX, TERMINATOR_GROUP_PREFIX)
_AUTHENTICATION = "authentication.k8s.io"
_ANY = "impersonate-"
_SINGLE = frozenset(("impersonate-user", "impersonate-group", "impersonate-uid"))
_EXTRA = "impersonate-extra-"


def wanted(request: Request) -> bool:
    """Whether the request has any header of impersonation."""
    # Asked of every request, so in one look; what else begins like this is found to be none of them afterwards.
    return _ANY in " ".join(request.headers).lower() and any(_is_one(name.lower()) for name in request.headers)


def _is_one(name: str) -> bool:
    return name in _SINGLE or name.startswith(_EXTRA)


def impersonate(request: Request, user: User, authorizer: Authorizer, cluster: str) -> User:
    """The user that `user` acts as in `cluster`.

    Raises StatusError: 400 where no user name is given, 403 where the caller may not.
    """
    name = request.header("impersonate-user")
    groups = tuple(request.header_values("impersonate-group"))
    uid = request.header("impersonate-uid")
    extra = _extra(request)
    if not name:
        raise status.bad_request(
            f'requested &user.DefaultInfo{{Name:"", UID:"{uid}", Groups:{_go_strings(groups)}, Extra:{_go_extra(extra)}}}'
            " without impersonating a user name"
        )
    _check_ladder(user, groups)
    _check_extra(user, extra)
    for attributes in _questions(user, cluster, name, groups, uid, extra):
        decision = authorizer.authorize(attributes)
        if not decision.allowed:
            raise forbidden_request(attributes, decision.reason)
    groups = _default_groups(name, groups)
    result = User(name, groups, uid, make_extra(extra))
    # A master's word holds everywhere, so that it has to say whose service account it means.
    return with_home(result, "" if cluster == "*" else cluster) if user.is_master else _scoped(result, cluster)


def _check_ladder(user: User, groups: tuple[str, ...]) -> None:
    if user.is_master:
        return
    for group in groups:
        if (group in _PRIVILEGED or group.startswith(_GIVEN_BY_VIEWS)) and group not in user.groups:
            raise status.StatusError(
                403,
                "Forbidden",
                f'forbidden: User "{user.name}" cannot impersonate the privileged group "{group}" without being a member of it',
                details={},
            )


def _check_extra(user: User, extra: dict[str, list[str]]) -> None:
    """Where a caller comes from and whose warrants it holds counts in every logical cluster, so the right to impersonate in one
    is not enough to claim it. Scopes may be added: they only take away."""
    if user.is_master:
        return
    for key in extra:
        if is_system_extra(key) and key != SCOPES_EXTRA:
            raise status.StatusError(
                403,
                "Forbidden",
                f'forbidden: User "{user.name}" cannot impersonate the extra "{key}", which only the system gives',
                details={},
            )


def _questions(
    user: User, cluster: str, name: str, groups: tuple[str, ...], uid: str, extra: dict[str, list[str]]
) -> Iterator[Attributes]:
    ask = Attributes(user=user, verb="impersonate", cluster=cluster, version="v1")
    if (account := _service_account(name)) is not None:
        yield ask._replace(resource="serviceaccounts", namespace=account[0], name=account[1])
    else:
        yield ask._replace(resource="users", name=name)
    for group in groups:
        yield ask._replace(resource="groups", name=group)
    for key, values in extra.items():
        for value in values:
            yield ask._replace(group=_AUTHENTICATION, resource="userextras", subresource=key, name=value)
    if uid:
        yield ask._replace(group=_AUTHENTICATION, resource="uids", name=uid)


def _default_groups(name: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    if not groups and (account := _service_account(name)) is not None:
        groups = service_account_groups(account[0])
    if AUTHENTICATED_GROUP in groups or UNAUTHENTICATED_GROUP in groups:
        return groups
    return (*groups, UNAUTHENTICATED_GROUP if name == ANONYMOUS else AUTHENTICATED_GROUP)


def _scoped(user: User, cluster: str) -> User:
    """The user confined to the cluster in which impersonation was allowed (kcp): rights in another were never looked at."""
    extra = {key: list(values) for key, values in user.extra}
    extra.setdefault(SCOPES_EXTRA, []).append(f"cluster:{cluster}")
    return replace(user, extra=make_extra(extra))


def _service_account(name: str) -> tuple[str, str] | None:
    if not name.startswith(SERVICE_ACCOUNT_PREFIX):
        return None
    namespace, _, account = name.removeprefix(SERVICE_ACCOUNT_PREFIX).partition(":")
    return (namespace, account) if namespace and account and ":" not in account else None


def _extra(request: Request) -> dict[str, list[str]]:
    extra: dict[str, list[str]] = {}
    for header in request.headers:
        lower = header.lower()
        if lower.startswith(_EXTRA):
            key = unquote(lower.removeprefix(_EXTRA)).lower()
            if key not in extra:
                extra[key] = request.header_values(lower)
    return extra


def _go_strings(values: tuple[str, ...]) -> str:
    return "[]string{" + ", ".join(f'"{value}"' for value in values) + "}" if values else "[]string(nil)"


def _go_extra(extra: dict[str, list[str]]) -> str:
    if not extra:
        return "map[string][]string(nil)"
    entries = ", ".join(f'"{key}":{_go_strings(tuple(values))}' for key, values in sorted(extra.items()))
    return f"map[string][]string{{{entries}}}"
