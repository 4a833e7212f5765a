"""Impersonation by `Impersonate-*` headers: kube-apiserver's rules, after kcp's rules for privileged groups."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple
from urllib.parse import unquote

from tenantry.apiserver.authorization import Attributes, Authorizer
from tenantry.apiserver.impersonation_modes import Wanted, impersonated_as, service_account
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
_ANY = "impersonate-"
_SINGLE = frozenset(("impersonate-user", "impersonate-group", "impersonate-uid"))
_EXTRA = "impersonate-extra-"


def wanted(request: Request) -> bool:
    """Whether the request has any header of impersonation."""
    # Runs for every request, so it is one look-up by prefix. Other headers with this prefix are sorted out later.
    return _ANY in " ".join(request.headers).lower() and any(_is_one(name.lower()) for name in request.headers)


def _is_one(name: str) -> bool:
    return name in _SINGLE or name.startswith(_EXTRA)


class Impersonation(NamedTuple):
    """`constraint`: the verb that allowed it (`impersonation_modes.Allowed`)."""

    user: User
    constraint: str


def impersonate(request: Request, attributes: Attributes, authorizer: Authorizer) -> Impersonation:
    """The user that the caller impersonates. `attributes`: of the request, with the caller.

    Raises StatusError: 400 where no user name is given, 403 where the caller is not allowed to.
    """
    user, cluster = attributes.user, attributes.cluster
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
    # A view decides itself who may do what in it, so there the verb alone counts, about which it asks RBAC.
    wanted_user = Wanted(name, groups, uid, extra)
    allowed = impersonated_as(wanted_user, attributes, authorizer, constrained=not request.view)
    result = User(name, _default_groups(name, allowed.groups), uid, make_extra(extra))
    # system:masters may impersonate in every cluster, so it has to name the cluster of a service account.
    made = with_home(result, "" if cluster == "*" else cluster) if user.is_master else _scoped(result, cluster)
    return Impersonation(made, allowed.constraint)


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
    """The extra values for the cluster of a user and for its warrants count in every logical cluster. So the right to impersonate
    in one cluster is not enough to set them. Scopes may be set: they only restrict. Raises StatusError 403."""
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


def _default_groups(name: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    if not groups and (account := service_account(name)) is not None:
        groups = service_account_groups(account[0])
    if name != ANONYMOUS and UNAUTHENTICATED_GROUP in groups:
        return groups
    added = UNAUTHENTICATED_GROUP if name == ANONYMOUS else AUTHENTICATED_GROUP
    return groups if added in groups else (*groups, added)


def _scoped(user: User, cluster: str) -> User:
    """The user, restricted to the cluster in which impersonation was allowed (kcp). Rights in other clusters were not checked."""
    extra = {key: list(values) for key, values in user.extra}
    extra.setdefault(SCOPES_EXTRA, []).append(f"cluster:{cluster}")
    return replace(user, extra=make_extra(extra))


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
