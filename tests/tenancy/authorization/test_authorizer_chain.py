"""The chain of authorizers, and that it never answers with what was true before a write."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tenantry.apiserver.authorization import Attributes, Verdict
from tenantry.apiserver.user import (
    AUTHENTICATED_GROUP,
    CLUSTER_NAME_EXTRA,
    KCP_ADMIN_GROUP,
    LOGICAL_CLUSTER_ADMIN_GROUP,
    SCOPES_EXTRA,
    WARRANT_EXTRA,
    User,
    make_extra,
)
from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError
from tenantry.storage.keys import catalog_key
from tenantry.storage.store import Put
from tenantry.tenancy.authorization.authorizer_chain import AuthorizerChain
from tenantry.tenancy.authorization.cluster_access import DECISIONS_MAX
from tenantry.tenancy.resources import LOGICAL_CLUSTERS
from tests.tenancy.exports_world import MASTER, World, user

HOME = "rhome00000000000"
PROVIDER = "rprovider0000000"
FAR = "900far0000000000"
BOB = user("bob")
NOT_PERMITTED = "workspace access not permitted"


def ask(who: User, verb: str = "get", resource: str = "configmaps", cluster: str = HOME, **more: Any) -> Attributes:
    if "path" not in more:
        more = {"resource": resource, "namespace": "default", "name": "x", **more}
    return Attributes(who, verb, cluster, **more)


def account(cluster: str = HOME, name: str = "robot") -> User:
    groups = ("system:serviceaccounts", "system:serviceaccounts:default", AUTHENTICATED_GROUP)
    extra = make_extra({CLUSTER_NAME_EXTRA: [cluster]} if cluster else {})
    return User(f"system:serviceaccount:default:{name}", groups, "u", extra)


def rule(verbs: str, resources: str, *names: str) -> Object:
    found: Object = {"apiGroups": ["*"], "resources": resources.split(), "verbs": verbs.split()}
    return found | ({"resourceNames": list(names)} if names else {})


ENTER: Object = {"nonResourceURLs": ["/"], "verbs": ["access"]}


def allowed(world: World, *args: Any, **more: Any) -> bool:
    return world.tenancy.authorizer.authorize(ask(*args, **more)).allowed


def reason(world: World, *args: Any, **more: Any) -> str:
    return world.tenancy.authorizer.authorize(ask(*args, **more)).reason


async def test_who_has_access() -> None:
    async with World() as world:
        await world.cluster(HOME, owner="ada")
        assert allowed(world, user("ada"))
        assert reason(world, BOB) == NOT_PERMITTED
        await world.role(HOME, "reader", rule("get", "configmaps"))
        await world.bind_role(HOME, "reader", "reader", "bob")
        # Rights alone do not open the door.
        assert reason(world, BOB) == NOT_PERMITTED
        await world.role(HOME, "enter", ENTER)
        await world.bind_role(HOME, "enter", "enter", "bob")
        assert allowed(world, BOB)
        assert not allowed(world, BOB, "update")
        assert reason(world, BOB) == ('RBAC: allowed by ClusterRoleBinding "reader" of ClusterRole "reader" to User "bob"')
        assert not allowed(world, account())
        await world.bind_role(HOME, "robots", "reader", "system:serviceaccount:default:robot")
        # A service account is at home in its cluster.
        assert allowed(world, account())
        assert reason(world, account(PROVIDER)) == NOT_PERMITTED
        assert world.tenancy.authorizer.authorize(ask(BOB, cluster="rnowhere00000000")).verdict is not Verdict.ALLOW


@pytest.mark.parametrize("phase", ["Scheduling", "Unavailable", "Initializing", "Ready", "Terminating"])
async def test_phases(phase: str) -> None:
    async with World() as world:
        waiting = {"Initializing": {"initializers": ["root:x"]}, "Terminating": {"terminators": ["root:x"]}}.get(phase, {})
        await world.cluster(HOME, owner="ada", status={"phase": phase, **waiting})
        closed = phase in ("Scheduling", "Unavailable")
        assert allowed(world, user("ada")) is not closed
        if closed:
            assert reason(world, user("ada")) == f'not permitted, logical cluster is in phase "{phase}"'
        # Their controllers are let in as long as the cluster waits for them, and no others.
        for kind, awaited in (("initializer", "Initializing"), ("terminator", "Terminating")):
            assert allowed(world, user("eve", f"system:kcp:{kind}:root:x"), "delete", "secrets") is (phase == awaited)
            assert not allowed(world, user("eve", f"system:kcp:{kind}:root:y"), "delete", "secrets")
        administrator = user("admin", LOGICAL_CLUSTER_ADMIN_GROUP)
        assert allowed(world, administrator, "get", "logicalclusters", group="core.kcp.io")
        # It also works where there is no logical cluster yet: it makes them.
        assert allowed(world, administrator, "create", "logicalclusters", group="core.kcp.io", cluster="rnowhere00000000")


async def test_required_groups() -> None:
    async with World() as world:
        annotations = {"authorization.kcp.io/required-groups": "devs,eu;auditors"}
        await world.cluster(HOME, owner="ada", metadata={"annotations": annotations})
        for groups, let_in in (
            ((), False),
            (("devs",), False),
            (("devs", "eu"), True),
            (("auditors",), True),
            ((KCP_ADMIN_GROUP,), True),
        ):
            decision = world.tenancy.authorizer.authorize(ask(user("ada", *groups)))
            assert decision.allowed is let_in, groups
            assert let_in or decision.verdict is Verdict.DENY
        await world.bind_role(HOME, "robots", "cluster-admin", "system:serviceaccount:default:robot")
        assert allowed(world, account())
        # Anybody can make an account elsewhere: it belongs to no group of this cluster's.
        await world.bind_role(HOME, "all", "cluster-admin", AUTHENTICATED_GROUP, group=True)
        assert not allowed(world, account(PROVIDER))


async def test_nobody_writes_the_status_of_bindings_and_exports() -> None:
    async with World() as world:
        await world.cluster(HOME, owner="ada")
        for resource in ("apibindings", "apiexports"):
            status = ask(user("ada"), "update", resource, group="apis.kcp.io", subresource="status")
            assert world.tenancy.authorizer.authorize(status).verdict is Verdict.DENY
            assert allowed(world, user("ada"), "update", resource, group="apis.kcp.io")


async def test_masters_and_health_and_metrics() -> None:
    async with World() as world:
        await world.cluster(HOME)
        await world.cluster("rother0000000000")
        assert allowed(world, MASTER, "delete", "everything")
        with pytest.raises(StatusError, match="not found"):
            world.tenancy.authorizer.authorize(ask(MASTER, cluster="rnowhere00000000"))
        assert allowed(world, BOB, path="/healthz")
        assert not allowed(world, BOB, path="/metrics", cluster="root")
        await world.role("root", "metrics", {"nonResourceURLs": ["/metrics"], "verbs": ["get"]})
        scraper = "system:serviceaccount:default:metrics"
        await world.bind_role("root", "metrics", "metrics", "bob", scraper, f"system:kcp:serviceaccount:{HOME}:default:robot")
        # Of the process: whoever may read it need not be let into root, and the same path elsewhere is a tenant's.
        assert allowed(world, BOB, path="/metrics", cluster="root")
        assert allowed(world, account(), path="/metrics", cluster="root")
        assert not allowed(world, BOB, path="/metrics", cluster=HOME)


async def test_system_clusters_are_for_masters() -> None:
    async with World() as world:
        assert not allowed(world, user("admin", KCP_ADMIN_GROUP), cluster="system:admin")
        assert not allowed(world, BOB, cluster="system:shard")
        assert allowed(world, MASTER, cluster="system:admin")


async def test_decisions_follow_every_write_they_rest_on() -> None:
    async with World() as world:
        await world.cluster(HOME)
        await world.role(HOME, "enter", ENTER, rule("get", "configmaps"))
        assert not allowed(world, BOB)
        await world.bind_role(HOME, "enter", "enter", "bob")
        assert allowed(world, BOB)
        roles = ("rbac.authorization.k8s.io", "clusterroles", "enter")

        def rules(*wanted: Object) -> Any:
            return lambda obj: obj.update(rules=list(wanted))

        await world.edit(HOME, *roles, rules(ENTER, rule("list", "configmaps")))
        assert not allowed(world, BOB)
        await world.edit(HOME, *roles, rules(rule("get", "configmaps")))
        assert reason(world, BOB) == NOT_PERMITTED
        await world.edit(HOME, *roles, rules(ENTER, rule("get", "configmaps")))
        assert allowed(world, BOB)
        await world.edit(HOME, "core.kcp.io", "logicalclusters", "cluster", lambda obj: obj["status"].update(phase="Unavailable"))
        assert not allowed(world, BOB)
        await world.edit(HOME, "core.kcp.io", "logicalclusters", "cluster", lambda obj: obj["status"].update(phase="Ready"))
        assert allowed(world, BOB)
        # The RBAC of system:admin holds everywhere.
        assert not allowed(world, BOB, "delete")
        await world.role("system:admin", "everywhere", rule("delete", "configmaps"))
        await world.bind_role("system:admin", "everywhere", "everywhere", "bob")
        assert allowed(world, BOB, "delete")


async def test_a_role_of_all_clusters_can_be_bound_in_one() -> None:
    async with World() as world:
        await world.cluster(HOME)
        await world.bind_role(HOME, "viewers", "view", "bob")
        await world.bind_role(HOME, "enter", "system:kcp:workspace:access", "bob")
        assert allowed(world, BOB)
        assert not allowed(world, BOB, "get", "secrets")


async def test_names_matter_only_where_a_rule_has_some() -> None:
    async with World() as world:
        await world.cluster(HOME)
        await world.role(
            HOME, "some", ENTER, rule("get", "secrets", "mine"), rule("get", "configmaps"), rule("list", "secrets", "mine")
        )
        await world.bind_role(HOME, "some", "some", "bob")
        for _ in range(2):
            assert allowed(world, BOB, "get", "secrets", name="mine")
            assert not allowed(world, BOB, "get", "secrets", name="other")
            assert not allowed(world, BOB, "get", "secrets", name="")
            assert not allowed(world, BOB, "list", "secrets", name="")
            assert allowed(world, BOB, "list", "secrets", name="mine")
            assert all(allowed(world, BOB, name=f"c{n}") for n in range(50))
        chain = world.tenancy.authorizer
        assert isinstance(chain, AuthorizerChain)
        remembered = chain._of_cluster(HOME).users[BOB]._decisions
        assert len([key for key in remembered if "configmaps" in key]) == 1
        for number in range(DECISIONS_MAX + 5):
            chain.authorize(ask(BOB, path=f"/{number}"))
        assert len(chain._of_cluster(HOME).users[BOB]._decisions) <= DECISIONS_MAX


async def test_namespaces_and_paths() -> None:
    async with World() as world:
        await world.cluster(HOME)
        await world.namespace(HOME, "default")
        await world.bind_role(HOME, "enter", "system:kcp:workspace:access", "bob")
        role: Object = {"metadata": {"name": "r", "namespace": "default"}, "rules": [rule("get", "configmaps")]}
        binding: Object = {
            "metadata": {"name": "b", "namespace": "default"},
            "roleRef": {"kind": "Role", "name": "r"},
            "subjects": [{"kind": "User", "name": "bob"}, {"kind": "ServiceAccount", "name": "robot"}],
        }
        await world.put(HOME, "rbac.authorization.k8s.io", "roles", role)
        await world.put(HOME, "rbac.authorization.k8s.io", "rolebindings", binding)
        assert allowed(world, BOB)
        assert not allowed(world, BOB, namespace="other")
        assert not allowed(world, BOB, namespace="")
        assert allowed(world, account())
        assert reason(world, account()) == (
            'RBAC: allowed by RoleBinding "b/default" of Role "r" to ServiceAccount "robot/default"'
        )
        assert not allowed(world, BOB, path="/frob")
        await world.role(HOME, "paths", {"nonResourceURLs": ["/frob/*"], "verbs": ["get"]})
        await world.bind_role(HOME, "paths", "paths", "bob")
        assert allowed(world, BOB, path="/frob/x")
        assert not allowed(world, BOB, "post", path="/frob/x")
        verbs = [verb for each in world.tenancy.authorizer.rules(BOB, HOME, "default") for verb in each["verbs"]]  # type: ignore[attr-defined]
        assert "get" in verbs
        cluster_wide = world.tenancy.authorizer.rules(BOB, HOME, "")  # type: ignore[attr-defined]
        assert rule("get", "configmaps") not in cluster_wide


async def test_a_deep_check_is_rbac_alone() -> None:
    async with World() as world:
        await world.cluster(
            HOME, status={"phase": "Unavailable"}, metadata={"annotations": {"authorization.kcp.io/required-groups": "x"}}
        )
        await world.role(HOME, "reader", rule("get", "configmaps"))
        await world.bind_role(HOME, "reader", "reader", "bob")
        assert not allowed(world, BOB)
        assert world.tenancy.authorizer.allows_deep(ask(BOB))
        assert not world.tenancy.authorizer.allows_deep(ask(BOB, "delete"))
        assert world.tenancy.authorizer.allows_deep(ask(MASTER, "delete"))


async def provide(world: World) -> None:
    await world.cluster(PROVIDER, "root:provider", owner="ada")
    await world.cluster(HOME, "root:home", owner="bob")
    await world.export(PROVIDER, maximalPermissionPolicy={"local": {}})
    await world.bind(HOME, "root:provider", "cowboys")


def cowboys(world: World, who: User, verb: str = "get", name: str = "x") -> bool:
    return allowed(world, who, verb, "cowboys", group="wild.west", name=name)


async def test_decisions_follow_the_policy_of_the_provider() -> None:
    async with World() as world:
        await provide(world)
        assert not cowboys(world, BOB)
        await world.role(PROVIDER, "policy", rule("get", "cowboys"))
        await world.bind_role(PROVIDER, "policy", "policy", "apis.kcp.io:binding:bob")
        assert cowboys(world, BOB)
        roles = ("rbac.authorization.k8s.io", "clusterroles", "policy")
        await world.edit(PROVIDER, *roles, lambda obj: obj.update(rules=[rule("get", "cowboys", "mine")]))
        assert cowboys(world, BOB, name="mine")
        assert not cowboys(world, BOB, name="other")
        assert not cowboys(world, BOB, "list")
        await world.edit(PROVIDER, "apis.kcp.io", "apiexports", "cowboys", lambda obj: obj["spec"].pop("maximalPermissionPolicy"))
        assert cowboys(world, BOB, "list")
        policy: Object = {"maximalPermissionPolicy": {"local": {}}}
        await world.edit(PROVIDER, "apis.kcp.io", "apiexports", "cowboys", lambda obj: obj["spec"].update(policy))
        assert not cowboys(world, BOB, "list")
        # What is not bound is none of its business.
        assert allowed(world, BOB, "list")


async def test_a_policy_is_about_who_one_is_at_home() -> None:
    async with World() as world:
        await provide(world)
        await world.role(PROVIDER, "policy", rule("get", "cowboys"))
        robot = f"system:kcp:serviceaccount:{HOME}:default:robot"
        await world.bind_role(PROVIDER, "policy", "policy", "apis.kcp.io:binding:bob", f"apis.kcp.io:binding:{robot}")
        await world.bind_role(HOME, "robots", "cluster-admin", "system:serviceaccount:default:robot")
        assert cowboys(world, account())
        # Somebody who is impersonated is confined to the consumer's cluster, and the policy asks in the provider's.
        scoped = User("bob", (*BOB.groups, "vip"), "", make_extra({SCOPES_EXTRA: [f"cluster:{HOME}"]}))
        assert not cowboys(world, scoped)
        await world.bind_role(PROVIDER, "vips", "policy", "apis.kcp.io:binding:vip", group=True)
        assert not cowboys(world, scoped)
        await world.bind_role(PROVIDER, "all", "policy", f"apis.kcp.io:binding:{AUTHENTICATED_GROUP}", group=True)
        assert cowboys(world, scoped)
        warrant = orjson.dumps({"user": "bob", "groups": [AUTHENTICATED_GROUP]}).decode()
        assert cowboys(world, User("eve", (AUTHENTICATED_GROUP,), "", make_extra({WARRANT_EXTRA: [warrant]})))


async def copy(world: World, resource: str, cluster: str, obj: Object) -> None:
    """As the shard that holds the cluster writes it."""
    key = catalog_key(resource, cluster, obj["metadata"]["name"])
    await world.store.commit([], [Put(key, orjson.dumps(obj))], [])
    await world.until(lambda: world.tenancy.catalog.entry(resource, cluster, obj["metadata"]["name"]) is not None)


async def test_clusters_of_other_shards_are_known_by_their_copies() -> None:
    async with World() as world:
        rbac = "rbac.authorization.k8s.io"
        assert not world.tenancy.authorizer.allows_deep(ask(BOB, "bind", "apiexports", FAR))
        await copy(world, f"{rbac}/clusterroles", FAR, {"metadata": {"name": "r"}, "rules": [ENTER, rule("bind", "apiexports")]})
        subjects = [{"kind": "User", "name": "bob"}]
        bound: Object = {"metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "r"}, "subjects": subjects}
        await copy(world, f"{rbac}/clusterrolebindings", FAR, bound)
        assert world.tenancy.authorizer.allows_deep(ask(BOB, "bind", "apiexports", FAR))
        assert not allowed(world, BOB, "bind", "apiexports", FAR)
        await copy(world, LOGICAL_CLUSTERS, FAR, {"metadata": {"name": "cluster"}, "status": {"phase": "Ready"}})
        assert allowed(world, BOB, "bind", "apiexports", FAR)
        key = catalog_key(f"{rbac}/clusterroles", FAR, "r")
        await world.store.commit([], [Put(key, orjson.dumps({"metadata": {"name": "r"}, "rules": [ENTER]}))], [])
        await world.until(lambda: not world.tenancy.authorizer.allows_deep(ask(BOB, "bind", "apiexports", FAR)))
