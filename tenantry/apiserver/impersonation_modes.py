"""The ways in which a caller may act as another user (KEP-5284, constrained impersonation; on since Kubernetes 1.36).

Each kind of user takes two rights: to do what is requested as one of them (`impersonate-on:<kind>:<verb>` on what the request is
about), and to be that user (`impersonate:<kind>`). The verb `impersonate` alone, as it was before, holds for every request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from tenantry.apiserver.authorization import Attributes, Authorizer
from tenantry.apiserver.forbidden import forbidden_request
from tenantry.apiserver.user import MASTERS_GROUP, SERVICE_ACCOUNT_PREFIX, User, is_system_extra, make_extra
from tenantry.kube.domain_paths import domain_path_errors
from tenantry.kube.go_text import quote
from tenantry.kube.names import dns1123_subdomain_errors
from tenantry.kube.status import StatusError

IMPERSONATE = "impersonate"
_AUTHENTICATION = "authentication.k8s.io"
_NODE_PREFIX = "system:node:"
_NODES_GROUP = "system:nodes"
_NODE_NAME_EXTRA = "authentication.kubernetes.io/node-name"
_ASSOCIATED, _ANY_NODE, _ACCOUNT, _USER = "associated-node", "arbitrary-node", "serviceaccount", "user-info"
_ASSOCIATED_KEYS = "authentication.kubernetes.io/associated-node-keys"
_MANY = 4
"""From so many groups, or values of extra, on it is asked first whether all are allowed."""


class Wanted(NamedTuple):
    """The user that the headers name, without what is added to it."""

    name: str
    groups: tuple[str, ...]
    uid: str
    extra: Mapping[str, Sequence[str]]

    @property
    def is_name_alone(self) -> bool:
        return not (self.groups or self.uid or self.extra)


class Allowed(NamedTuple):
    """`constraint`: the verb that allowed it, as audit events show it; empty for `impersonate`. `groups`: of the user."""

    constraint: str
    groups: tuple[str, ...]


def impersonated_as(wanted: Wanted, attributes: Attributes, authorizer: Authorizer, *, constrained: bool = True) -> Allowed:
    """How the caller of a request may be the user. `attributes`: of the request, with the caller. `constrained`: whether other
    ways than the verb `impersonate` count. Raises StatusError 403 with what the first way lacks."""
    first: StatusError | None = None
    for kind, applies in _KINDS.items() if constrained else ():
        if applies(wanted, attributes.user):
            refused = _refused(_constrained(kind, wanted, attributes), authorizer)
            if refused is None:
                groups = (_NODES_GROUP,) if kind in (_ASSOCIATED, _ANY_NODE) else wanted.groups
                return Allowed(f"{IMPERSONATE}:{kind}", groups)
            first = first or refused
    refused = _refused(_fields(wanted, attributes, IMPERSONATE, ""), authorizer)
    if refused is not None:
        raise first or refused
    return Allowed("", wanted.groups)


def service_account(name: str) -> tuple[str, str] | None:
    """(namespace, name) of the service account that a user is; None for another one."""
    if not name.startswith(SERVICE_ACCOUNT_PREFIX):
        return None
    namespace, _, account = name.removeprefix(SERVICE_ACCOUNT_PREFIX).partition(":")
    return (namespace, account) if namespace and account and ":" not in account else None


def _node(name: str) -> str:
    """The name of the node that a user is; empty for another one."""
    node = name.removeprefix(_NODE_PREFIX) if name.startswith(_NODE_PREFIX) else ""
    return "" if dns1123_subdomain_errors(node) else node


def _is_own_node(wanted: Wanted, user: User) -> bool:
    node = _node(wanted.name) if wanted.is_name_alone else ""
    return bool(node) and service_account(user.name) is not None and user.extra_values(_NODE_NAME_EXTRA) == (node,)


_KINDS: Mapping[str, Callable[[Wanted, User], bool]] = {
    _ASSOCIATED: _is_own_node,
    _ANY_NODE: lambda wanted, user: wanted.is_name_alone and bool(_node(wanted.name)),
    _ACCOUNT: lambda wanted, user: wanted.is_name_alone and service_account(wanted.name) is not None,
    _USER: lambda wanted, user: not _node(wanted.name) and service_account(wanted.name) is None,
}
"""Kind → whether a user is one of it, whom the caller could be. In the order in which they are tried."""

_Question = tuple[Attributes, ...] | StatusError
"""Alternatives, of which one has to be allowed; or why nothing is."""


def _refused(questions: Iterator[_Question], authorizer: Authorizer) -> StatusError | None:
    """The error of the first question that is not allowed. The error of alternatives is that of the last one."""
    for question in questions:
        if isinstance(question, StatusError):
            return question
        for attributes in question:
            decision = authorizer.authorize(attributes)
            if decision.allowed:
                break
        else:
            return forbidden_request(attributes, decision.reason)
    return None


def _constrained(kind: str, wanted: Wanted, attributes: Attributes) -> Iterator[_Question]:
    if kind == _ASSOCIATED:
        attributes = attributes._replace(user=_on_any_node(attributes.user))
    yield (attributes._replace(verb=f"{IMPERSONATE}-on:{kind}:{attributes.verb}"),)
    yield from _fields(wanted, attributes, f"{IMPERSONATE}:{kind}", kind)


def _on_any_node(user: User) -> User:
    """The caller as the authorizer sees it: the same on every node. What says where it is from, and what it may do at most (kcp's
    extra values), stays."""
    kept = {key: list(values) for key, values in user.extra if is_system_extra(key)}
    return replace(user, extra=make_extra(kept | {_ASSOCIATED_KEYS: sorted(key for key, _ in user.extra)}))


def _fields(wanted: Wanted, attributes: Attributes, verb: str, kind: str) -> Iterator[_Question]:
    """The questions about each field of the user. `kind`: empty for the verb `impersonate`."""
    ask = Attributes(attributes.user, verb, attributes.cluster, version="v1")
    of_core, of_authentication = ask, ask._replace(group=_AUTHENTICATION)
    named = of_authentication if kind else of_core
    account, node = service_account(wanted.name), _node(wanted.name) if kind else ""
    if account is not None:
        yield (named._replace(resource="serviceaccounts", namespace=account[0], name=account[1]),)
    elif node:
        yield (named._replace(resource="nodes", name="*" if kind == _ASSOCIATED else node),)
    else:
        yield (named._replace(resource="users", name=wanted.name),)
    if wanted.uid:
        yield (of_authentication._replace(resource="uids", name=wanted.uid),)
    yield from _of_groups(wanted.groups, named._replace(resource="groups"), constrained=bool(kind))
    yield from _of_extra(wanted.extra, of_authentication._replace(resource="userextras"), constrained=bool(kind))


def _of_groups(groups: Sequence[str], ask: Attributes, *, constrained: bool) -> Iterator[_Question]:
    each = [ask._replace(name=group) for group in groups]
    if constrained:
        if "" in groups:
            yield forbidden_request(ask, "impersonating the empty string group is not allowed")
        if MASTERS_GROUP in groups:
            ask = ask._replace(name=MASTERS_GROUP)
            yield forbidden_request(ask, f"impersonating the {MASTERS_GROUP} group is not allowed")
    yield from _each(each, ask._replace(name="*"), many=constrained and len(each) >= _MANY)


def _of_extra(extra: Mapping[str, Sequence[str]], ask: Attributes, *, constrained: bool) -> Iterator[_Question]:
    if constrained:
        for key, values in sorted(extra.items()):
            if problem := _extra_problem(key, values):
                yield forbidden_request(ask, problem)
    each = [ask._replace(subresource=key, name=value) for key, values in extra.items() for value in values]
    many = constrained and (len(extra) >= _MANY or len(each) >= _MANY)
    yield from _each(each, ask._replace(subresource="*", name="*"), many=many)


def _each(questions: Sequence[Attributes], all_: Attributes, *, many: bool) -> Iterator[_Question]:
    """`many`: the right to all is one to each."""
    for question in questions:
        yield (all_, question) if many else (question,)


def _extra_problem(key: str, values: Sequence[str]) -> str:
    if not key:
        return "impersonating the empty string key in extra is not allowed"
    if errors := [error.message for error in domain_path_errors(key, "extra.key")]:
        shown = errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"
        return f"impersonating an invalid key in extra is not allowed: {shown}"
    if key != key.lower():
        return f"impersonating a non-lowercase key in extra is not allowed: {quote(key)}"
    if not values:
        return "impersonating empty values in extra is not allowed"
    return "impersonating the empty string value in extra is not allowed" if "" in values else ""
