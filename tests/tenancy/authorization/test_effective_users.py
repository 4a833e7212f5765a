"""Who a caller counts as: scopes, warrants and foreign service accounts, against kcp's rules written out plainly."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.apiserver.user import (
    ANONYMOUS,
    AUTHENTICATED_GROUP,
    CLUSTER_NAME_EXTRA,
    SCOPES_EXTRA,
    UNAUTHENTICATED_GROUP,
    WARRANT_EXTRA,
    User,
    home_of,
    is_service_account,
    make_extra,
    with_home,
    without_privileges,
)
from tenantry.kube.names import dns1123_subdomain_errors
from tenantry.tenancy.authorization.effective_users import bound_users, effective_users, is_local
from tenantry.tenancy.authorization.stored_user import KnownInOneCluster, confined, globally_named
from tenantry.virtual.apiexport.warrant import with_warrant

CLUSTERS = st.sampled_from(["a", "b", "c"])
NAMES = st.sampled_from(["ada", "bob", "system:serviceaccount:ns:robot", "system:serviceaccount:ns:other"])
GROUPS = st.lists(st.sampled_from([AUTHENTICATED_GROUP, "devs", "ops"]), unique=True, max_size=3)
SCOPES = st.lists(st.lists(CLUSTERS.map(lambda c: f"cluster:{c}"), min_size=1, max_size=2, unique=True).map(",".join), max_size=2)


def described(warrants: st.SearchStrategy[Any] | None = None) -> st.SearchStrategy[dict[str, Any]]:
    optional: dict[str, st.SearchStrategy[Any]] = {SCOPES_EXTRA: SCOPES, CLUSTER_NAME_EXTRA: CLUSTERS.map(lambda c: [c])}
    if warrants is not None:
        optional[WARRANT_EXTRA] = st.lists(warrants.map(lambda w: orjson.dumps(w).decode()), max_size=2)
    extra = st.fixed_dictionaries({}, optional=optional)
    return st.fixed_dictionaries({"user": NAMES, "groups": GROUPS, "extra": extra})


DESCRIPTIONS = described(described(described()))


def to_user(description: dict[str, Any]) -> User:
    return User(description["user"], tuple(description["groups"]), "", make_extra(description["extra"]))


def expected(description: dict[str, Any], cluster: str) -> set[tuple[str, frozenset[str]]]:
    """(name, groups) of everybody, by the words of the reference."""
    name, groups, extra = description["user"], description["groups"], description["extra"]
    home = next(iter(extra.get(CLUSTER_NAME_EXTRA) or ()), "")
    account = name.startswith("system:serviceaccount:")
    in_scope = not (account and home not in ("", cluster))
    in_scope = in_scope and all(f"cluster:{cluster}" in value.split(",") for value in extra.get(SCOPES_EXTRA) or ())
    found: set[tuple[str, frozenset[str]]] = set()
    if in_scope:
        found.add((name, frozenset(groups)))
    elif AUTHENTICATED_GROUP in groups:
        origin = {f"system:cluster:{home}"} if home else set()
        found.add((ANONYMOUS, frozenset({AUTHENTICATED_GROUP, *origin})))
    else:
        found.add((ANONYMOUS, frozenset({UNAUTHENTICATED_GROUP})))
    if account and home:
        found.add((f"system:kcp:serviceaccount:{home}:ns:{name.rpartition(':')[2]}", frozenset({AUTHENTICATED_GROUP})))
    for text in extra.get(WARRANT_EXTRA) or ():
        warrant = orjson.loads(text)
        if not (warrant["user"].startswith("system:serviceaccount:") and not warrant["extra"].get(CLUSTER_NAME_EXTRA)):
            found |= expected(warrant, cluster)
    return found


@settings(max_examples=200, deadline=None)
@given(DESCRIPTIONS, CLUSTERS)
def test_everybody_that_a_caller_counts_as(description: dict[str, Any], cluster: str) -> None:
    found = effective_users(to_user(description), cluster)
    assert {(user.name, frozenset(user.groups)) for user in found} == expected(description, cluster)
    assert len(set(found)) == len(found)


@settings(max_examples=200, deadline=None)
@given(DESCRIPTIONS, CLUSTERS)
def test_a_policy_sees_whom_the_provider_knows_with_prefixes(description: dict[str, Any], provider: str) -> None:
    prefix = "apis.kcp.io:binding:"
    wanted = {(f"{prefix}{name}", frozenset(f"{prefix}{g}" for g in groups)) for name, groups in expected(description, provider)}
    found = bound_users(to_user(description), provider)
    assert {(user.name, frozenset(user.groups)) for user in found} == wanted
    # Nothing is left that could make them somebody else again.
    assert all(not user.extra for user in found)


ANYBODY = DESCRIPTIONS.map(to_user)


@settings(max_examples=200, deadline=None)
@given(ANYBODY, CLUSTERS, CLUSTERS)
def test_who_is_written_down_has_no_name_of_one_cluster(user: User, here: str, there: str) -> None:
    try:
        known = globally_named(user, here)
    except KnownInOneCluster:
        assert home_of(user)
        assert not is_service_account(user)
        return
    assert not is_service_account(known)
    assert not home_of(known)
    assert not known.extra_values(WARRANT_EXTRA)
    assert globally_named(known, there) == known
    # Written down, it is nobody whom the cluster that it asks would not take it for anyway.
    its_own = {each.name for each in effective_users(with_home(user, here), there)}
    assert {each.name for each in effective_users(known, there)} <= its_own | {ANONYMOUS}
    # Inside of what was made for it, it is itself; everywhere else what it was.
    assert effective_users(confined(known, there), there)[0].name == known.name
    scoped = bool(known.extra_values(SCOPES_EXTRA)) or without_privileges(known).groups != known.groups
    assert (effective_users(confined(known, there), "elsewhere")[0].name == ANONYMOUS) is scoped


def test_a_provider_is_no_service_account_of_its_consumers() -> None:
    """What others grant to an account of the consumer, by its global name, is not for who acts there by a warrant."""
    acting = with_warrant(User("sheriff", (AUTHENTICATED_GROUP,)), "a")
    for cluster in ("a", "b"):
        for each in effective_users(acting, cluster):
            _, _, name = each.name.rpartition(":")
            assert each.name in ("sheriff", ANONYMOUS) or dns1123_subdomain_errors(name)


def test_what_is_no_warrant_is_none() -> None:
    for text in ("", "[]", "{}", '{"user": 5}', "{"):
        user = User("bob", (), "", make_extra({WARRANT_EXTRA: [text]}))
        assert [each.name for each in effective_users(user, "a")] == ["bob"]


def test_warrants_within_warrants_end() -> None:
    user = User("bob")
    for number in range(12):
        text = orjson.dumps({"user": user.name, "extra": {k: list(v) for k, v in user.extra}}).decode()
        user = User(f"u{number}", (), "", make_extra({WARRANT_EXTRA: [text]}))
    # Eight deep, whatever there is: each level doubles the quotes of the one inside.
    assert len(effective_users(user, "a")) == 9


def test_a_service_account_is_at_home_where_its_scopes_let_it() -> None:
    name = "system:serviceaccount:ns:robot"
    assert is_local(User(name), "a")
    assert is_local(User(name, (), "", make_extra({CLUSTER_NAME_EXTRA: ["a"]})), "a")
    assert not is_local(User(name, (), "", make_extra({CLUSTER_NAME_EXTRA: ["b"]})), "a")
    assert not is_local(User(name, (), "", make_extra({SCOPES_EXTRA: ["cluster:b"]})), "a")
    assert not is_local(User("bob"), "a")
