"""A compiled policy decides as a plain reading of its objects does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.apiserver.authorization import Attributes, Decision, Verdict
from tenantry.apiserver.user import User
from tenantry.base.cache import KEY_BYTES_MAX, size_of
from tenantry.kube.objects import Object
from tenantry.kube.rbac.policy_rules import CompiledRules
from tenantry.tenancy.authorization.cluster_access import Access
from tenantry.tenancy.authorization.cluster_bindings import ClusterBindings, allowing

VERBS, API_GROUPS = ["get", "list", "create"], ["", "x.example"]
RESOURCES, NAMES, NAMESPACES = ["things", "widgets"], ["n1", "n2"], ["a", "b"]
USERS = ["ada", "system:serviceaccount:a:robot"]
PATHS = ["/", "/x", "/x/y"]


def some(values: list[str], *more: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from([*values, *more]), min_size=1, max_size=2, unique=True)


RESOURCE_RULE = st.fixed_dictionaries(
    {
        "verbs": some(VERBS, "*"),
        "apiGroups": some(API_GROUPS, "*"),
        "resources": some(RESOURCES, "*", "things/status", "*/status"),
    },
    optional={"resourceNames": some(NAMES)},
)
PATH_RULE = st.fixed_dictionaries({"verbs": some(VERBS, "*"), "nonResourceURLs": some([*PATHS, "/x/*", "*"])})
RULES = st.lists(RESOURCE_RULE | PATH_RULE, max_size=2)
ROLES = st.dictionaries(st.sampled_from(["r1", "r2"]), RULES, max_size=2)
SUBJECTS = st.lists(
    st.sampled_from(
        [
            {"kind": "User", "name": "ada"},
            {"kind": "User", "name": "system:serviceaccount:a:robot"},
            {"kind": "Group", "name": "devs"},
            {"kind": "Group", "name": "ada"},
            {"kind": "ServiceAccount", "name": "robot", "namespace": "a"},
            {"kind": "ServiceAccount", "name": "robot"},
        ]
    ),
    max_size=2,
)


def bindings(kinds: list[str], namespaces: list[str]) -> st.SearchStrategy[list[Object]]:
    one = st.tuples(st.sampled_from(kinds), st.sampled_from(["r1", "r2"]), SUBJECTS, st.sampled_from(namespaces))
    made = one.map(lambda t: {"metadata": {"namespace": t[3]}, "roleRef": {"kind": t[0], "name": t[1]}, "subjects": t[2]})
    return st.lists(made, max_size=2).map(named)


def named(objects: list[Object]) -> list[Object]:
    return [{**obj, "metadata": {**obj["metadata"], "name": f"b{number}"}} for number, obj in enumerate(objects)]


ATTRIBUTES = st.builds(
    Attributes,
    st.builds(User, st.sampled_from(USERS), st.sampled_from([(), ("devs",)])),
    st.sampled_from(VERBS),
    st.just("c"),
    group=st.sampled_from(API_GROUPS),
    resource=st.sampled_from(RESOURCES),
    subresource=st.sampled_from(["", "status"]),
    namespace=st.sampled_from(["", *NAMESPACES]),
    name=st.sampled_from(["", *NAMES]),
) | st.builds(
    Attributes,
    st.builds(User, st.sampled_from(USERS), st.sampled_from([(), ("devs",)])),
    st.sampled_from(VERBS),
    st.just("c"),
    path=st.sampled_from(PATHS),
)


def applies(rule: Object, question: Attributes) -> bool:
    """One rule, read as the documentation of RBAC has it."""
    if not {"*", question.verb} & set(rule["verbs"]):
        return False
    if not question.resource:
        return any(
            path in ("*", question.path) or (path.endswith("*") and question.path.startswith(path[:-1]))
            for path in rule.get("nonResourceURLs", ())
        )
    if not {"*", question.group} & set(rule.get("apiGroups", ())):
        return False
    whole = f"{question.resource}/{question.subresource}" if question.subresource else question.resource
    wanted = {"*", whole} | ({f"*/{question.subresource}"} if question.subresource else set())
    if not wanted & set(rule.get("resources", ())):
        return False
    return "resourceNames" not in rule or question.name in rule["resourceNames"]


def is_meant(subject: Object, user: User, namespace: str) -> bool:
    if subject["kind"] == "Group":
        return subject["name"] in user.groups
    if subject["kind"] == "User":
        return bool(subject["name"] == user.name)
    home = subject.get("namespace") or namespace
    return bool(home) and user.name == f"system:serviceaccount:{home}:{subject['name']}"


def naive(
    cluster_bindings: list[Object],
    namespaced: list[Object],
    cluster_roles: dict[str, Any],
    roles: dict[tuple[str, str], Any],
    question: Attributes,
) -> bool:
    granted: list[Object] = []
    for binding in cluster_bindings:
        if any(is_meant(s, question.user, "") for s in binding["subjects"]):
            granted += cluster_roles.get(binding["roleRef"]["name"], ())
    for binding in namespaced:
        namespace, reference = binding["metadata"]["namespace"], binding["roleRef"]
        if not question.resource or question.namespace != namespace:
            continue
        if any(is_meant(s, question.user, namespace) for s in binding["subjects"]):
            own = reference["kind"] == "Role"
            granted += roles.get((namespace, reference["name"]), ()) if own else cluster_roles.get(reference["name"], ())
    return any(applies(rule, question) for rule in granted)


def is_long(question: Attributes) -> bool:
    """Whether no answer to it is remembered."""
    texts = (question.verb, question.resource, question.group, question.namespace, question.subresource, question.name)
    return size_of((*texts, question.path), KEY_BYTES_MAX) > KEY_BYTES_MAX


@settings(max_examples=300, deadline=None)
@given(
    bindings(["ClusterRole"], [""]),
    bindings(["ClusterRole", "Role"], NAMESPACES),
    ROLES,
    st.dictionaries(st.tuples(st.sampled_from(NAMESPACES), st.sampled_from(["r1", "r2"])), RULES, max_size=2),
    st.lists(ATTRIBUTES, min_size=1, max_size=8),
)
def test_compiled_and_plain_agree(
    cluster_bindings: list[Object],
    namespaced: list[Object],
    cluster_roles: dict[str, Any],
    roles: dict[tuple[str, str], Any],
    questions: list[Attributes],
) -> None:
    def rules_of(namespace: str, name: str) -> CompiledRules | None:
        found = roles.get((namespace, name)) if namespace else cluster_roles.get(name)
        return CompiledRules(found) if found is not None else None

    policy = ClusterBindings(rules_of)
    for binding in (*cluster_bindings, *namespaced):
        policy.put(binding)
    remembering: dict[User, Access] = {}
    for question in questions * 2:
        wanted = naive(cluster_bindings, namespaced, cluster_roles, roles, question)
        access = remembering.setdefault(question.user, Access([question.user], policy.grants([question.user])))
        assert (allowing(access.grants, question) is not None) is wanted
        # What is remembered for one object's name must hold for every question that finds it.
        known = access.known(question)
        assert known is None or known.allowed is wanted
        decision = Decision(Verdict.ALLOW if wanted else Verdict.NO_OPINION)
        access.remember(question, decision, by_name=access.depends_on_name(question.resource))
        assert access.known(question) == decision or is_long(question)


RULES_OF = {("", "r1"): CompiledRules([]), ("", "r2"): CompiledRules([]), ("a", "r1"): CompiledRules([])}
EVERYBODY = [User(name, groups) for name in USERS for groups in ((), ("devs", "ada"))]


def named_grants(policy: ClusterBindings) -> list[list[tuple[str | None, CompiledRules, str]]]:
    """In an order of its own: which of two bindings is found first is nobody's affair."""
    return [
        sorted(((g.namespace, g.rules, g.source) for g in policy.grants([user])), key=lambda g: (g[0] or "", g[2]))
        for user in EVERYBODY
    ]


def made_of(stored: Iterable[Object]) -> ClusterBindings:
    policy = ClusterBindings(lambda namespace, name: RULES_OF.get((namespace, name)))
    for binding in stored:
        policy.put(binding)
    return policy


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["", "a", "b"]),
        st.sampled_from(["x", "y"]),
        st.none() | st.tuples(st.sampled_from(["Role", "ClusterRole"]), st.sampled_from(["r1", "r2", "r3"]), SUBJECTS),
        st.integers(0, 3),
    ),
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(CHANGES)
def test_bindings_that_come_and_go_leave_what_is_there(changes: list[tuple[str, str, Any, int]]) -> None:
    """Also where some are put in a subject at a time, with others in between."""
    stored: dict[tuple[str, str], Object] = {}
    policy = made_of(())
    under_way: list[Iterator[None]] = []
    for namespace, name, content, steps in changes:
        if content is None:
            stored.pop((namespace, name), None)
            policy.remove(namespace, name)
        else:
            kind, role, subjects = content
            binding = {
                "metadata": {"name": name, "namespace": namespace},
                "roleRef": {"kind": kind, "name": role},
                "subjects": subjects,
            }
            stored[namespace, name] = binding
            putting = policy.putting(binding)
            for _ in range(1 + steps):
                next(putting, None)
            under_way.append(putting)
    for putting in under_way:
        list(putting)
    anew = made_of(stored.values())
    assert named_grants(policy) == named_grants(anew)
    assert policy.bytes == anew.bytes
    for place in stored:
        policy.remove(*place)
    assert policy.bytes == made_of(()).bytes and not policy._by_subject
