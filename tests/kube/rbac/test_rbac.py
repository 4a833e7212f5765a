"""RBAC rules, escalation, aggregation and the default roles."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.kube.rbac.aggregation import aggregated_rules
from tenantry.kube.rbac.cover import GRANTS_MAX, TooComplex, rule_text, rules_text, uncovered
from tenantry.kube.rbac.default_roles import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES
from tenantry.kube.rbac.policy_rules import CompiledRules


def rule(verbs: str, resources: str, groups: str = "", names: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {"apiGroups": groups.split(","), "resources": resources.split(","), "verbs": verbs.split(",")}
    return out | ({"resourceNames": names.split(",")} if names else {})


def test_resources_groups_and_verbs() -> None:
    rules = CompiledRules([rule("get,list", "configmaps"), rule("*", "things/status", "example.com"), rule("create", "*", "x,y")])
    assert rules.allows(verb="get", group="", resource="configmaps", name="any")
    assert not rules.allows(verb="get", group="", resource="configmaps", subresource="status")
    assert not rules.allows(verb="delete", group="", resource="configmaps")
    assert rules.allows(verb="patch", group="example.com", resource="things", subresource="status")
    assert not rules.allows(verb="patch", group="example.com", resource="things")
    assert rules.allows(verb="create", group="y", resource="anything", subresource="too")


def test_subresource_of_anything() -> None:
    rules = CompiledRules([rule("update", "*/scale")])
    assert rules.allows(verb="update", group="", resource="x", subresource="scale")
    assert not rules.allows(verb="update", group="", resource="x")


def test_names_limit_and_add_up() -> None:
    rules = CompiledRules([rule("get,create", "secrets", names="a"), rule("get", "secrets", names="b")])
    assert rules.allows(verb="get", group="", resource="secrets", name="a")
    assert rules.allows(verb="get", group="", resource="secrets", name="b")
    assert not rules.allows(verb="get", group="", resource="secrets", name="c")
    assert not rules.allows(verb="create", group="", resource="secrets")
    assert CompiledRules([*rules.rules, rule("create", "secrets")]).allows(verb="create", group="", resource="secrets")


def test_paths() -> None:
    rules = CompiledRules([{"nonResourceURLs": ["/frob/*", "/exact"], "verbs": ["get"]}])
    assert rules.allows_path("get", "/frob/x/y")
    assert rules.allows_path("get", "/exact")
    assert not rules.allows_path("get", "/exact/")
    assert not rules.allows_path("post", "/exact")
    everything = CompiledRules([{"nonResourceURLs": ["*"], "verbs": ["*"]}])
    assert everything.allows_path("put", "/any")
    assert not everything.allows(verb="get", group="", resource="x")


def test_what_is_missing_is_compacted_and_shown_as_upstream_does() -> None:
    held = [rule("get", "configmaps"), rule("*", "roles", "rbac.authorization.k8s.io")]
    wanted = [
        rule("get,list", "configmaps,secrets"),
        rule("create", "x", "y.z", "n"),
        {"nonResourceURLs": ["/a"], "verbs": ["get"]},
    ]
    assert [rule_text(missing) for missing in uncovered(held, wanted)] == [
        '{APIGroups:[""], Resources:["configmaps"], Verbs:["list"]}',
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}',
        '{APIGroups:["y.z"], Resources:["x"], ResourceNames:["n"], Verbs:["create"]}',
        '{NonResourceURLs:["/a"], Verbs:["get"]}',
    ]


def test_names_and_stars_are_not_covered_by_less() -> None:
    assert uncovered([rule("get", "secrets", names="a")], [rule("get", "secrets")])
    assert not uncovered([rule("get", "secrets")], [rule("get", "secrets", names="a")])
    assert uncovered([rule("get,list", "secrets")], [rule("*", "secrets")])
    assert not uncovered([rule("*", "*/status", "*")], [rule("get", "things/status", "example.com")])


WORDS = st.sampled_from(["*", "a", "b"])
RULES = st.builds(
    lambda verbs, groups, resources, names: {"verbs": verbs, "apiGroups": groups, "resources": resources, "resourceNames": names},
    st.lists(WORDS, min_size=1, max_size=2),
    st.lists(WORDS, min_size=1, max_size=2),
    st.lists(st.sampled_from(["*", "a", "a/s", "*/s"]), min_size=1, max_size=2),
    st.lists(st.sampled_from(["n", "m"]), max_size=1),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(RULES, max_size=3), st.lists(RULES, max_size=2), st.data())
def test_who_covers_a_rule_may_do_what_it_allows(owned: list[Any], wanted: list[Any], data: st.DataObject) -> None:
    if uncovered(owned, wanted):
        return
    question = {
        "verb": data.draw(st.sampled_from("ab")),
        "group": data.draw(st.sampled_from("ab")),
        "resource": data.draw(st.sampled_from("ab")),
        "subresource": data.draw(st.sampled_from(["", "s"])),
        "name": data.draw(st.sampled_from(["", "n", "m"])),
    }
    if CompiledRules(wanted).allows(**question):
        assert CompiledRules(owned).allows(**question)


def multiplied_out(owned: list[Any], wanted: list[Any]) -> list[Any]:
    """The check as upstream words it: every single grant, asked of every rule of the owner, and put together again."""

    def grants(rule: dict[str, Any]) -> Iterator[tuple[str, tuple[Any, ...]]]:
        for group, resource in product(rule.get("apiGroups", ()), rule.get("resources", ())):
            for name, verb in product(rule.get("resourceNames") or (None,), rule["verbs"]):
                yield verb, (group, resource, name)
        for url, verb in product(rule.get("nonResourceURLs", ()), rule["verbs"]):
            yield verb, (url,)

    def has(rule: dict[str, Any], verb: str, key: tuple[Any, ...]) -> bool:
        if not {verb, "*"} & set(rule["verbs"]):
            return False
        if len(key) == 1:
            return any(
                u in ("*", key[0]) or (u[-1:] == "*" and key[0].startswith(u.rstrip("*")))
                for u in rule.get("nonResourceURLs", ())
            )
        group, resource, name = key
        resources = {"*", resource} | ({"*/" + resource.partition("/")[2]} if "/" in resource else set())
        names = rule.get("resourceNames") or ()
        return (
            bool({group, "*"} & set(rule.get("apiGroups", ())))
            and bool(resources & set(rule.get("resources", ())))
            and (not names or name in names)
        )

    missing: dict[tuple[Any, ...], dict[str, None]] = {}
    for rule in wanted:
        for verb, key in grants(rule):
            if not any(has(owner, verb, key) for owner in owned):
                missing.setdefault(key, {})[verb] = None
    rules = []
    for key, verbs in missing.items():
        fields: dict[str, Any] = (
            {"nonResourceURLs": [key[0]]} if len(key) == 1 else {"apiGroups": [key[0]], "resources": [key[1]]}
        )
        if len(key) == 3 and key[2] is not None:
            fields["resourceNames"] = [key[2]]
        rules.append(fields | {"verbs": list(verbs)})
    return sorted(rules, key=rule_text)


def some(words: list[str], *, max_size: int) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(words), max_size=max_size)


VERBS = ["*", "get", "list", "watch"]
ANY_RULE = st.one_of(
    st.fixed_dictionaries(
        {
            "verbs": some(VERBS, max_size=4),
            "apiGroups": some(["*", "", "a", "b"], max_size=3),
            "resources": some(["*", "x", "y", "x/s", "y/s", "*/s", "z"], max_size=4),
            "resourceNames": some(["n", "m", "o"], max_size=3),
        }
    ),
    st.fixed_dictionaries(
        {
            "verbs": some(VERBS, max_size=3),
            "nonResourceURLs": some(["*", "/", "/a", "/a/*", "/a*", "/ab", "/a/b*", "/b**"], max_size=4),
        }
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(ANY_RULE, max_size=7), st.lists(ANY_RULE, max_size=4))
def test_what_is_missing_is_what_multiplying_out_finds(owned: list[Any], wanted: list[Any]) -> None:
    assert uncovered(owned, wanted) == multiplied_out(owned, wanted)


@settings(max_examples=100, deadline=None)
@given(st.lists(ANY_RULE, min_size=1, max_size=4), st.data())
def test_a_role_in_pieces_covers_the_whole_role(rules: list[Any], data: st.DataObject) -> None:
    """Several rules cover together what none of them covers alone."""
    pieces = []
    for rule in rules:
        field = data.draw(st.sampled_from(["verbs", *[key for key in ("resources", "nonResourceURLs") if key in rule]]))
        pieces += [rule | {field: [value]} for value in rule[field]]
    assert not uncovered(pieces, rules)


def wide(n: int) -> dict[str, Any]:
    return {
        "apiGroups": [f"g{i}" for i in range(n)],
        "resources": [f"r{i}" for i in range(n)],
        "verbs": [f"v{i}" for i in range(n)],
    }


def steps(work: Callable[[], object]) -> int:
    """Lines that ran."""
    count = 0

    def line(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        count += 1
        return line

    previous = sys.gettrace()
    sys.settrace(line)
    try:
        work()
    finally:
        sys.settrace(previous)
    return count


@pytest.mark.parametrize(
    "work",
    [
        pytest.param(lambda n: CompiledRules([wide(n)]), id="compile"),
        pytest.param(lambda n: CompiledRules([wide(n)]).allows(verb="v0", group="g1", resource="r2"), id="match"),
        pytest.param(lambda n: uncovered([wide(n)], [wide(n)]), id="all of it held"),
        pytest.param(lambda n: uncovered([], [wide(n)]), id="none of it held"),
        pytest.param(
            lambda n: uncovered([wide(n) | {"verbs": [v]} for v in wide(n)["verbs"][:8]], [wide(n)]), id="much of it held"
        ),
        pytest.param(
            lambda n: uncovered([wide(1) | {"resources": [r]} for r in wide(n)["resources"]], [wide(n)]), id="rule by rule"
        ),
        pytest.param(
            lambda n: uncovered(
                [{"nonResourceURLs": [f"/{i}/*"], "verbs": ["get"]} for i in range(n)],
                [{"nonResourceURLs": [f"/{i}/x" for i in range(n)], "verbs": ["get"]}],
            ),
            id="paths",
        ),
        pytest.param(
            lambda n: aggregated_rules(
                {"metadata": {"name": "a"}, "aggregationRule": {"clusterRoleSelectors": [{}]}},
                [{"metadata": {"name": "b"}, "rules": [wide(1) | {"verbs": [f"v{i}"]} for i in range(n)]}],
            ),
            id="aggregation",
        ),
    ],
)
def test_the_cost_of_rules_is_their_length(work: Callable[[int], object]) -> None:
    work(2)
    small, large = steps(lambda: work(200)), steps(lambda: work(800))
    assert large <= 6 * small


def test_what_cannot_be_compared_cheaply_is_refused() -> None:
    """Rules that cut one another in every dimension are the worst there is; asking is what costs, so that asking ends."""
    held = [
        {
            "apiGroups": [f"g{(i * j) % 97}" for j in range(20)],
            "resources": [f"r{(i * j) % 89}" for j in range(20)],
            "verbs": [f"v{(i * j) % 83}" for j in range(20)],
            "resourceNames": [f"n{(i * j) % 79}" for j in range(20)],
        }
        for i in range(1, 400)
    ]
    asked = {field: sorted({value for rule in held for value in rule[field]}) for field in held[0]}

    def ask() -> None:
        with pytest.raises(TooComplex):
            uncovered(held, [asked], budget=20_000)

    assert steps(ask) < 300_000


def test_a_refusal_has_a_length() -> None:
    missing = uncovered([], [wide(250)])
    assert sum(len(rule["verbs"]) for rule in missing) <= GRANTS_MAX
    text = rules_text(missing)
    assert len(text) <= 17_000
    assert text.splitlines()[-1] == "and more"
    assert (
        len(
            rules_text(
                uncovered([], [{"apiGroups": ["g" * 100_000], "resources": [str(i) for i in range(1000)], "verbs": ["get"]}])
            )
        )
        <= 17_000
    )


def test_aggregation() -> None:
    def role(name: str, labels: dict[str, str], *rules: dict[str, Any]) -> dict[str, Any]:
        return {"metadata": {"name": name, "labels": labels}, "rules": list(rules)}

    whole = role("whole", {"agg": "yes"}, rule("get", "own"))
    whole["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {"agg": "yes"}}]}
    parts = [role("2", {"agg": "yes"}, rule("list", "b"), rule("get", "a")), role("1", {"agg": "yes"}, rule("get", "a"))]
    assert aggregated_rules(whole, [whole, *parts, role("3", {}, rule("get", "c"))]) == [rule("get", "a"), rule("list", "b")]


def test_default_roles() -> None:
    roles = {role["metadata"]["name"]: role for role in CLUSTER_ROLES}
    view, edit, admin = (CompiledRules(roles[name]["rules"]) for name in ("view", "edit", "admin"))
    for rules in (view, edit, admin):
        assert rules.allows(verb="list", group="", resource="configmaps")
        assert not rules.allows(verb="get", group="", resource="nodes")
    assert not view.allows(verb="get", group="", resource="secrets")
    assert edit.allows(verb="get", group="", resource="secrets")
    assert not edit.allows(verb="create", group="rbac.authorization.k8s.io", resource="roles")
    assert admin.allows(verb="create", group="rbac.authorization.k8s.io", resource="roles")
    assert roles["view"]["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"
    assert CompiledRules(roles["system:discovery"]["rules"]).allows_path("get", "/apis/rbac.authorization.k8s.io")
    assert {binding["roleRef"]["name"] for binding in CLUSTER_ROLE_BINDINGS} <= set(roles)
    assert not uncovered(roles["cluster-admin"]["rules"], [r for role in CLUSTER_ROLES for r in role["rules"]])
