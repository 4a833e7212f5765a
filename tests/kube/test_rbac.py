"""RBAC rules, escalation, aggregation and the default roles."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.kube.rbac.aggregation import aggregated_rules
from tenantry.kube.rbac.bootstrap import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES
from tenantry.kube.rbac.rules import CompiledRules, rule_text, uncovered


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
