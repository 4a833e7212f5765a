"""Who may be impersonated for what. The texts were recorded from kube-apiserver 1.37.2."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tenantry.apiserver.authorization import ALLOWED, NO_OPINION, Attributes, Decision
from tenantry.apiserver.impersonation_modes import Allowed, Wanted, impersonated_as
from tenantry.apiserver.user import SCOPES_EXTRA, User
from tenantry.kube.status import StatusError

BOB = User("bob", ("devs",))
AGENT = User(
    "system:serviceaccount:ns:agent",
    extra=(("authentication.kubernetes.io/node-name", ("n1",)), (SCOPES_EXTRA, ("cluster:abc",))),
)
LIST = Attributes(BOB, "list", "abc", version="v1", resource="configmaps", namespace="im")
ON_USER = "impersonate-on:user-info:list configmaps"
BE_ZOE = "impersonate:user-info authentication.k8s.io/users zoe"


class Rights:
    """Allows what is listed: `<verb> <group>/<resource> <name>`, and notes what it is asked."""

    def __init__(self, rights: Iterable[str]) -> None:
        self._rights = frozenset(rights)
        self.asked: list[Attributes] = []

    def authorize(self, attributes: Attributes) -> Decision:
        self.asked.append(attributes)
        resource = f"{attributes.group}/{attributes.resource}" if attributes.group else attributes.resource
        resource += f"/{attributes.subresource}" if attributes.subresource else ""
        texts = (f"{attributes.verb} {resource}", f"{attributes.verb} {resource} {attributes.name}")
        return ALLOWED if self._rights.intersection(texts) else NO_OPINION


def wanted(name: str, *groups: str, uid: str = "", **extra: str) -> Wanted:
    return Wanted(name, groups, uid, {key.replace("__", "/"): (value,) for key, value in extra.items()})


def refusal(user: Wanted, *rights: str) -> str:
    with pytest.raises(StatusError) as refused:
        impersonated_as(user, LIST, Rights(rights))
    assert refused.value.code == 403
    return refused.value.message


@pytest.mark.parametrize(
    ("user", "rights", "expected"),
    [
        (wanted("zoe"), [ON_USER, BE_ZOE], Allowed("impersonate:user-info", ())),
        (wanted("zoe"), ["impersonate users zoe"], Allowed("", ())),
        (wanted("zoe", "g"), ["impersonate users zoe", "impersonate groups g"], Allowed("", ("g",))),
        (
            wanted("zoe", "g"),
            [ON_USER, BE_ZOE, "impersonate:user-info authentication.k8s.io/groups g"],
            Allowed("impersonate:user-info", ("g",)),
        ),
        (
            wanted("zoe", *"abcd"),
            [ON_USER, BE_ZOE, "impersonate:user-info authentication.k8s.io/groups *"],
            Allowed("impersonate:user-info", ("a", "b", "c", "d")),
        ),
        (
            wanted("system:serviceaccount:ns:robot"),
            ["impersonate-on:serviceaccount:list configmaps", "impersonate:serviceaccount authentication.k8s.io/serviceaccounts"],
            Allowed("impersonate:serviceaccount", ()),
        ),
        (
            wanted("system:node:n1"),
            ["impersonate-on:arbitrary-node:list configmaps", "impersonate:arbitrary-node authentication.k8s.io/nodes n1"],
            Allowed("impersonate:arbitrary-node", ("system:nodes",)),
        ),
        (
            wanted("zoe", uid="u", **{"a.example__b": "c"}),
            [
                ON_USER,
                BE_ZOE,
                "impersonate:user-info authentication.k8s.io/uids u",
                "impersonate:user-info authentication.k8s.io/userextras/a.example/b c",
            ],
            Allowed("impersonate:user-info", ()),
        ),
    ],
)
def test_what_allows_it(user: Wanted, rights: list[str], expected: Allowed) -> None:
    assert impersonated_as(user, LIST, Rights(rights)) == expected
    for missing in rights:
        refusal(user, *(right for right in rights if right != missing))


@pytest.mark.parametrize(
    ("user", "rights", "text"),
    [
        (
            wanted("zoe"),
            [],
            'configmaps is forbidden: User "bob" cannot impersonate-on:user-info:list resource "configmaps" in API group "" in '
            'the namespace "im"',
        ),
        (
            wanted("zoe"),
            [ON_USER],
            'users.authentication.k8s.io "zoe" is forbidden: User "bob" cannot impersonate:user-info resource "users" in API '
            'group "authentication.k8s.io" at the cluster scope',
        ),
        (
            wanted("zoe", "system:masters"),
            [ON_USER, BE_ZOE],
            'groups.authentication.k8s.io "system:masters" is forbidden: User "bob" cannot impersonate:user-info resource '
            '"groups" in API group "authentication.k8s.io" at the cluster scope: impersonating the '
            "system:masters group is not allowed",
        ),
        (
            wanted("zoe", foo="v"),
            [ON_USER, BE_ZOE],
            'userextras.authentication.k8s.io is forbidden: User "bob" cannot impersonate:user-info resource "userextras" in API '
            'group "authentication.k8s.io" at the cluster scope: impersonating an invalid key in extra is not allowed: '
            'extra.key: Invalid value: "foo": must be a domain-prefixed path (such as "acme.io/foo")',
        ),
        (
            wanted("zoe", **{"a.example__b": ""}),
            [ON_USER, BE_ZOE],
            'userextras.authentication.k8s.io is forbidden: User "bob" cannot impersonate:user-info resource "userextras" in API '
            'group "authentication.k8s.io" at the cluster scope: impersonating the empty string value in extra is not allowed',
        ),
        (
            # Neither a node nor a service account has groups of its own: the verb `impersonate` alone allows that.
            wanted("system:serviceaccount:ns:robot", "g"),
            [],
            'serviceaccounts "robot" is forbidden: User "bob" cannot impersonate resource "serviceaccounts" in API group "" in '
            'the namespace "ns"',
        ),
    ],
)
def test_the_first_way_says_what_is_missing(user: Wanted, rights: list[str], text: str) -> None:
    assert refusal(user, *rights) == text


def test_an_agent_may_be_the_node_that_it_runs_on() -> None:
    rights = ["impersonate-on:associated-node:list configmaps", "impersonate:associated-node authentication.k8s.io/nodes *"]
    authorizer = Rights(rights)
    by_agent = LIST._replace(user=AGENT)
    allowed = impersonated_as(wanted("system:node:n1"), by_agent, authorizer)
    assert allowed == Allowed("impersonate:associated-node", ("system:nodes",))
    # It is asked about the agent of any node, which still may do no more than its scopes allow.
    keys = {"authentication.kubernetes.io/associated-node-keys": (SCOPES_EXTRA, "authentication.kubernetes.io/node-name")}
    for asked in authorizer.asked:
        assert dict(asked.user.extra) == {SCOPES_EXTRA: ("cluster:abc",), **keys}
    for caller, node in ((by_agent, "n2"), (LIST, "n1")):
        with pytest.raises(StatusError, match="arbitrary-node"):
            impersonated_as(wanted(f"system:node:{node}"), caller, Rights(rights))


def test_views_know_the_verb_alone() -> None:
    rights = Rights([ON_USER, BE_ZOE])
    with pytest.raises(StatusError, match="cannot impersonate resource"):
        impersonated_as(wanted("zoe"), LIST, rights, constrained=False)
    assert {attributes.verb for attributes in rights.asked} == {"impersonate"}
