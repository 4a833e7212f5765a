"""Which level a request belongs to, and what the standard objects are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.apiserver.authorization import Attributes
from tenantry.apiserver.user import User
from tenantry.kube.flowcontrol.plan import Flow, Plan, compile_plan, standard_plan, standard_uid
from tenantry.kube.flowcontrol.standard_objects import (
    AUTO_UPDATE,
    STANDARD_LEVELS,
    STANDARD_SCHEMAS,
    revised,
)
from tenantry.kube.objects import Object
from tenantry.kube.types import flow_schema, priority_level_configuration
from tests.kube.types.test_builtin_types import refusals

EVERYBODY = "system:authenticated"
ALICE = User("alice", ("devs", EVERYBODY))
EVERY = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}


def asked(user: User, verb: str = "get", **more: str) -> Attributes:
    return Attributes(user, verb, "c", **more)


def config_map(user: User = ALICE, verb: str = "get", namespace: str = "default", **more: str) -> Attributes:
    return asked(user, verb, resource="configmaps", namespace=namespace, **more)


def plan(*schemas: Object) -> Plan:
    """Of schemas `s0`, `s1`, … of the level `mine`, besides the mandatory objects."""
    specs = [(f"s{n}", f"uid{n}", {"priorityLevelConfiguration": {"name": "mine"}} | spec) for n, spec in enumerate(schemas)]
    return compile_plan(specs, [("mine", "level", STANDARD_LEVELS["workload-low"])], 100)


def of_user(name: str, *rules: Object, precedence: int = 100, **more: Any) -> Object:
    subjects = [{"kind": "User", "user": {"name": name}}]
    return {"matchingPrecedence": precedence, "rules": [{"subjects": subjects, "resourceRules": list(rules)}], **more}


def test_standard_objects_are_valid() -> None:
    for definition, specs in (
        (flow_schema.DEFINITION, STANDARD_SCHEMAS),
        (priority_level_configuration.DEFINITION, STANDARD_LEVELS),
    ):
        for name, spec in specs.items():
            made: Object = {"metadata": {"name": name}, "spec": spec}
            assert refusals(definition, made) == []
            assert made["spec"] == STANDARD_SCHEMAS.get(name, spec) or made["spec"] == spec, "defaults change nothing"


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (config_map(), ("global-default", "global-default")),
        (config_map(User("root", ("system:masters", EVERYBODY))), ("exempt", "exempt")),
        (config_map(User("system:anonymous", ("system:unauthenticated",))), ("global-default", "global-default")),
        (config_map(User("x", ())), ("catch-all", "catch-all")),
        (asked(ALICE, path="/healthz"), ("probes", "exempt")),
        (asked(ALICE, path="/livez/ping"), ("probes", "exempt")),
        (asked(ALICE, path="/healthzz"), ("global-default", "global-default")),
        (
            config_map(User("system:serviceaccount:kube-system:x", ("system:serviceaccounts", EVERYBODY))),
            ("kube-system-service-accounts", "workload-high"),
        ),
        (
            config_map(User("system:serviceaccount:kube-systems:x", ("system:serviceaccounts", EVERYBODY))),
            ("service-accounts", "workload-low"),
        ),
        (
            asked(User("system:kube-scheduler"), "update", group="coordination.k8s.io", resource="leases", namespace="a"),
            ("system-leader-election", "leader-election"),
        ),
        (
            asked(User("system:kube-scheduler"), "patch", group="coordination.k8s.io", resource="leases", namespace="a"),
            ("kube-scheduler", "workload-high"),
        ),
        (
            asked(User("n", ("system:nodes",)), "patch", resource="nodes", subresource="status"),
            ("system-node-high", "node-high"),
        ),
        (asked(User("n", ("system:nodes",)), resource="pods", namespace="a"), ("system-nodes", "system")),
    ],
)
def test_standard_plan(question: Attributes, expected: tuple[str, str]) -> None:
    flow = standard_plan(300).flow(question.user, question)
    assert (flow.name, flow.level.name) == expected
    assert standard_uid("FlowSchema", flow.name) in flow.header_lines


def test_precedence_then_name() -> None:
    made = plan(
        of_user("alice", EVERY, precedence=7), of_user("alice", EVERY, precedence=5), of_user("alice", EVERY, precedence=5)
    )
    assert made.flow(ALICE, config_map()).name == "s1"
    assert made.flow(User("bob", (EVERYBODY,)), config_map()).name == "catch-all"


@pytest.mark.parametrize(
    ("rule", "question", "matches"),
    [
        ({"verbs": ["list"]}, config_map(), False),
        ({"verbs": ["get"]}, config_map(), True),
        ({"resources": ["configmaps/status"]}, config_map(), False),
        ({"resources": ["configmaps/status"]}, config_map(subresource="status"), True),
        ({"resources": ["configmaps"]}, config_map(subresource="status"), False),
        ({"apiGroups": [""]}, config_map(), True),
        ({"apiGroups": ["apps"]}, config_map(), False),
        ({"namespaces": ["other"]}, config_map(), False),
        ({"namespaces": ["default"]}, config_map(), True),
        ({"clusterScope": False}, config_map(namespace=""), False),
        ({"namespaces": ["default"]}, config_map(namespace=""), True),
    ],
)
def test_resource_rules(rule: Object, question: Attributes, matches: bool) -> None:
    assert (plan(of_user("alice", EVERY | rule)).flow(ALICE, question).name == "s0") is matches


def test_schema_without_its_level_matches_nothing() -> None:
    made = plan(of_user("alice", EVERY) | {"priorityLevelConfiguration": {"name": "none"}})
    assert made.flow(ALICE, config_map()).name == "catch-all"


def test_flows() -> None:
    bob = User("bob", (EVERYBODY,))

    def flow_of(by: str) -> Flow:
        method: dict[str, Any] = {"distinguisherMethod": {"type": by}} if by else {}
        return plan(of_user("*", EVERY, **method)).flow(ALICE, config_map())

    by_user, by_namespace, one = flow_of("ByUser"), flow_of("ByNamespace"), flow_of("")
    assert by_user.hash_of(ALICE, config_map()) != by_user.hash_of(bob, config_map())
    assert by_user.hash_of(ALICE, config_map(namespace="a")) == by_user.hash_of(ALICE, config_map(namespace="b"))
    assert by_namespace.hash_of(ALICE, config_map(namespace="a")) != by_namespace.hash_of(ALICE, config_map(namespace="b"))
    assert one.hash_of(ALICE, config_map(namespace="a")) == one.hash_of(bob, config_map(namespace="b"))


def standard(spec: Object, generation: int = 1, annotation: str | None = "true") -> Object:
    metadata: Object = {"name": "x", "generation": generation}
    if annotation is not None:
        metadata["annotations"] = {AUTO_UPDATE: annotation}
    return {"metadata": metadata, "spec": spec}


def test_what_is_kept() -> None:
    """kube-apiserver's rules: mandatory objects always, suggested ones by their annotation, or as long as they are the first."""
    right, other = STANDARD_LEVELS["system"], STANDARD_LEVELS["node-high"]
    assert revised(standard(right), right, mandatory=False) is None
    assert (revised(standard(other), right, mandatory=False) or {})["spec"] == right
    assert revised(standard(other, 2, "false"), right, mandatory=False) is None
    assert (revised(standard(other, 2, "false"), right, mandatory=True) or {})["spec"] == right
    unmarked = revised(standard(other, 2, None), right, mandatory=False)
    assert unmarked is not None
    assert unmarked["spec"] == other
    assert unmarked["metadata"]["annotations"] == {AUTO_UPDATE: "false"}
    first = revised(standard(other, 1, "nonsense"), right, mandatory=False)
    assert first is not None
    assert first["spec"] == right
    assert first["metadata"]["annotations"] == {AUTO_UPDATE: "true"}
    lends = {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 9, "lendablePercent": 1}}
    assert revised(standard(lends), STANDARD_LEVELS["exempt"], mandatory=True) is None


_URLS = st.lists(
    st.sampled_from(("/", "/a", "/a/", "/a/*", "/ab", "/a/b", "/a/b/*", "/*", "*", "/a/b/ab/")), min_size=1, max_size=4
)
_PATHS = st.lists(st.sampled_from(("a", "b", "ab", "", "*")), max_size=5).map(lambda parts: "/" + "/".join(parts))


@given(urls=_URLS, path=_PATHS)
def test_urls_of_paths(urls: list[str], path: str) -> None:
    """As kube-apiserver compares them: one that does not end with a slash or a star stands for what is below it, too."""

    def matches(url: str) -> bool:
        prefix = url.removesuffix("*")
        return url in ("*", path) or path.startswith(prefix if prefix.endswith("/") else f"{prefix}/")

    rules = [{"subjects": [{"kind": "User", "user": {"name": "alice"}}], "nonResourceRules": [_of_urls(urls)]}]
    found = plan({"matchingPrecedence": 100, "rules": rules}).flow(ALICE, asked(ALICE, path=path))
    assert (found.name == "s0") == any(map(matches, urls))


def _of_urls(urls: list[str]) -> Object:
    return {"verbs": ["get"], "nonResourceURLs": urls}


def test_what_is_compared_of_many_urls() -> None:
    """A request for a path is compared with tens of thousands of them, or with many slashes: neither takes long."""
    urls = [f"/{number:x}" for number in range(24_000)]
    rules = [{"subjects": [{"kind": "User", "user": {"name": "alice"}}], "nonResourceRules": [_of_urls(urls)]}]
    made = plan({"matchingPrecedence": 100, "rules": rules})
    assert made.flow(ALICE, asked(ALICE, path="/5dbf/x")).name == "s0"
    assert len(made._urls_that_match("/a" * 4000)) <= 2 + 3 * 5
