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
from tests.support.people import MASTER, person
from tests.support.tenancies import ServedShard

HOME = "rhome00000000000"
PROVIDER = "rprovider0000000"
FAR = "900far0000000000"
BOB = person("bob")
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


def allowed(shard: ServedShard, *args: Any, **more: Any) -> bool:
    return shard.tenancy.authorizer.authorize(ask(*args, **more)).allowed


def reason(shard: ServedShard, *args: Any, **more: Any) -> str:
    return shard.tenancy.authorizer.authorize(ask(*args, **more)).reason


async def test_who_has_access() -> None:
    async with ServedShard() as shard:
        await shard.cluster(HOME, owner="ada")
        assert allowed(shard, person("ada"))
        assert reason(shard, BOB) == NOT_PERMITTED
        await shard.role(HOME, "reader", rule("get", "configmaps"))
        await shard.bind_role(HOME, "reader", "reader", "bob")
        # Rights alone do not open the door.
        assert reason(shard, BOB) == NOT_PERMITTED
        await shard.role(HOME, "enter", ENTER)
        await shard.bind_role(HOME, "enter", "enter", "bob")
        assert allowed(shard, BOB)
        assert not allowed(shard, BOB, "update")
        assert reason(shard, BOB) == ('RBAC: allowed by ClusterRoleBinding "reader" of ClusterRole "reader" to User "bob"')
        assert not allowed(shard, account())
        await shard.bind_role(HOME, "robots", "reader", "system:serviceaccount:default:robot")
        # A service account is at home in its cluster.
        assert allowed(shard, account())
        assert reason(shard, account(PROVIDER)) == NOT_PERMITTED
        assert shard.tenancy.authorizer.authorize(ask(BOB, cluster="rnowhere00000000")).verdict is not Verdict.ALLOW


@pytest.mark.parametrize("phase", ["Scheduling", "Unavailable", "Initializing", "Ready", "Terminating"])
async def test_phases(phase: str) -> None:
    async with ServedShard() as shard:
        waiting = {"Initializing": {"initializers": ["root:x"]}, "Terminating": {"terminators": ["root:x"]}}.get(phase, {})
        await shard.cluster(HOME, owner="ada", status={"phase": phase, **waiting})
        closed = phase in ("Scheduling", "Unavailable")
        assert allowed(shard, person("ada")) is not closed
        if closed:
            assert reason(shard, person("ada")) == f'not permitted, logical cluster is in phase "{phase}"'
        # Their controllers are let in as long as the cluster waits for them, and no others.
        for kind, awaited in (("initializer", "Initializing"), ("terminator", "Terminating")):
            assert allowed(shard, person("eve", f"system:kcp:{kind}:root:x"), "delete", "secrets") is (phase == awaited)
            assert not allowed(shard, person("eve", f"system:kcp:{kind}:root:y"), "delete", "secrets")
            # What would make them more than they are is RBAC's to allow.
            for verb in ("bind", "escalate", "impersonate", "impersonate:user-info", "impersonate-on:user-info:list"):
                assert not allowed(shard, person("eve", f"system:kcp:{kind}:root:x"), verb, "users")
        administrator = person("admin", LOGICAL_CLUSTER_ADMIN_GROUP)
        assert allowed(shard, administrator, "get", "logicalclusters", group="core.kcp.io")
        # It also works where there is no logical cluster yet: it makes them.
        assert allowed(shard, administrator, "create", "logicalclusters", group="core.kcp.io", cluster="rnowhere00000000")


async def test_required_groups() -> None:
    async with ServedShard() as shard:
        annotations = {"authorization.kcp.io/required-groups": "devs,eu;auditors"}
        await shard.cluster(HOME, owner="ada", metadata={"annotations": annotations})
        for groups, let_in in (
            ((), False),
            (("devs",), False),
            (("devs", "eu"), True),
            (("auditors",), True),
            ((KCP_ADMIN_GROUP,), True),
        ):
            decision = shard.tenancy.authorizer.authorize(ask(person("ada", *groups)))
            assert decision.allowed is let_in, groups
            assert let_in or decision.verdict is Verdict.DENY
        await shard.bind_role(HOME, "robots", "cluster-admin", "system:serviceaccount:default:robot")
        assert allowed(shard, account())
        # Anybody can make an account elsewhere: it belongs to no group of this cluster's.
        await shard.bind_role(HOME, "all", "cluster-admin", AUTHENTICATED_GROUP, group=True)
        assert not allowed(shard, account(PROVIDER))


async def test_nobody_writes_the_status_of_bindings_and_exports() -> None:
    async with ServedShard() as shard:
        await shard.cluster(HOME, owner="ada")
        for resource in ("apibindings", "apiexports"):
            status = ask(person("ada"), "update", resource, group="apis.kcp.io", subresource="status")
            assert shard.tenancy.authorizer.authorize(status).verdict is Verdict.DENY
            assert allowed(shard, person("ada"), "update", resource, group="apis.kcp.io")


async def test_masters_and_health_and_metrics() -> None:
    async with ServedShard() as shard:
        await shard.cluster(HOME)
        await shard.cluster("rother0000000000")
        assert allowed(shard, MASTER, "delete", "everything")
        with pytest.raises(StatusError, match="not found"):
            shard.tenancy.authorizer.authorize(ask(MASTER, cluster="rnowhere00000000"))
        assert allowed(shard, BOB, path="/healthz")
        assert not allowed(shard, BOB, path="/metrics", cluster="root")
        await shard.role("root", "metrics", {"nonResourceURLs": ["/metrics"], "verbs": ["get"]})
        scraper = "system:serviceaccount:default:metrics"
        await shard.bind_role("root", "metrics", "metrics", "bob", scraper, f"system:kcp:serviceaccount:{HOME}:default:robot")
        # Of the process: whoever may read it need not be let into root, and the same path elsewhere is a tenant's.
        assert allowed(shard, BOB, path="/metrics", cluster="root")
        assert allowed(shard, account(), path="/metrics", cluster="root")
        assert not allowed(shard, BOB, path="/metrics", cluster=HOME)


async def test_system_clusters_are_for_masters() -> None:
    async with ServedShard() as shard:
        assert not allowed(shard, person("admin", KCP_ADMIN_GROUP), cluster="system:admin")
        assert not allowed(shard, BOB, cluster="system:shard")
        assert allowed(shard, MASTER, cluster="system:admin")


async def test_decisions_follow_every_write_they_rest_on() -> None:
    async with ServedShard() as shard:
        await shard.cluster(HOME)
        await shard.role(HOME, "enter", ENTER, rule("get", "configmaps"))
        assert not allowed(shard, BOB)
        await shard.bind_role(HOME, "enter", "enter", "bob")
        assert allowed(shard, BOB)
        roles = ("rbac.authorization.k8s.io", "clusterroles", "enter")

        def rules(*wanted: Object) -> Any:
            return lambda obj: obj.update(rules=list(wanted))

        await shard.edit(HOME, *roles, rules(ENTER, rule("list", "configmaps")))
        assert not allowed(shard, BOB)
        await shard.edit(HOME, *roles, rules(rule("get", "configmaps")))
        assert reason(shard, BOB) == NOT_PERMITTED
        await shard.edit(HOME, *roles, rules(ENTER, rule("get", "configmaps")))
        assert allowed(shard, BOB)
        await shard.edit(HOME, "core.kcp.io", "logicalclusters", "cluster", lambda obj: obj["status"].update(phase="Unavailable"))
        assert not allowed(shard, BOB)
        await shard.edit(HOME, "core.kcp.io", "logicalclusters", "cluster", lambda obj: obj["status"].update(phase="Ready"))
        assert allowed(shard, BOB)
        # The RBAC of system:admin holds everywhere.
        assert not allowed(shard, BOB, "delete")
        await shard.role("system:admin", "everywhere", rule("delete", "configmaps"))
        await shard.bind_role("system:admin", "everywhere", "everywhere", "bob")
        assert allowed(shard, BOB, "delete")


async def test_a_role_of_all_clusters_can_be_bound_in_one() -> None:
    async with ServedShard() as shard:
        await shard.cluster(HOME)
        await shard.bind_role(HOME, "viewers", "view", "bob")
        await shard.bind_role(HOME, "enter", "system:kcp:workspace:access", "bob")
        assert allowed(shard, BOB)
        assert not allowed(shard, BOB, "get", "secrets")


async def test_names_matter_only_where_a_rule_has_some() -> None:
    async with ServedShard() as shard:
        await shard.cluster(HOME)
        await shard.role(
            HOME, "some", ENTER, rule("get", "secrets", "mine"), rule("get", "configmaps"), rule("list", "secrets", "mine")
        )
        await shard.bind_role(HOME, "some", "some", "bob")
        for _ in range(2):
            assert allowed(shard, BOB, "get", "secrets", name="mine")
            assert not allowed(shard, BOB, "get", "secrets", name="other")
            assert not allowed(shard, BOB, "get", "secrets", name="")
            assert not allowed(shard, BOB, "list", "secrets", name="")
            assert allowed(shard, BOB, "list", "secrets", name="mine")
            assert all(allowed(shard, BOB, name=f"c{n}") for n in range(50))
        chain = shard.tenancy.authorizer
        assert isinstance(chain, AuthorizerChain)
        remembered = chain._of_cluster(HOME).users[BOB]._decisions
        assert len([key for key in remembered if "configmaps" in key]) == 1
        for number in range(DECISIONS_MAX + 5):
            chain.authorize(ask(BOB, path=f"/{number}"))
        assert len(chain._of_cluster(HOME).users[BOB]._decisions) <= DECISIONS_MAX


async def test_namespaces_and_paths() -> None:
    async with ServedShard() as shard:
        await shard.cluster(HOME)
        await shard.namespace(HOME, "default")
        await shard.bind_role(HOME, "enter", "system:kcp:workspace:access", "bob")
        role: Object = {"metadata": {"name": "r", "namespace": "default"}, "rules": [rule("get", "configmaps")]}
        binding: Object = {
            "metadata": {"name": "b", "namespace": "default"},
            "roleRef": {"kind": "Role", "name": "r"},
            "subjects": [{"kind": "User", "name": "bob"}, {"kind": "ServiceAccount", "name": "robot"}],
        }
        await shard.put(HOME, "rbac.authorization.k8s.io", "roles", role)
        await shard.put(HOME, "rbac.authorization.k8s.io", "rolebindings", binding)
        assert allowed(shard, BOB)
        assert not allowed(shard, BOB, namespace="other")
        assert not allowed(shard, BOB, namespace="")
        assert allowed(shard, account())
        assert reason(shard, account()) == (
            'RBAC: allowed by RoleBinding "b/default" of Role "r" to ServiceAccount "robot/default"'
        )
        assert not allowed(shard, BOB, path="/frob")
        await shard.role(HOME, "paths", {"nonResourceURLs": ["/frob/*"], "verbs": ["get"]})
        await shard.bind_role(HOME, "paths", "paths", "bob")
        assert allowed(shard, BOB, path="/frob/x")
        assert not allowed(shard, BOB, "post", path="/frob/x")
        verbs = [verb for each in shard.tenancy.authorizer.rules(BOB, HOME, "default") for verb in each["verbs"]]
        assert "get" in verbs
        cluster_wide = shard.tenancy.authorizer.rules(BOB, HOME, "")
        assert rule("get", "configmaps") not in cluster_wide


async def test_a_deep_check_is_rbac_alone() -> None:
    async with ServedShard() as shard:
        await shard.cluster(
            HOME, status={"phase": "Unavailable"}, metadata={"annotations": {"authorization.kcp.io/required-groups": "x"}}
        )
        await shard.role(HOME, "reader", rule("get", "configmaps"))
        await shard.bind_role(HOME, "reader", "reader", "bob")
        assert not allowed(shard, BOB)
        assert shard.tenancy.authorizer.allows_deep(ask(BOB))
        assert not shard.tenancy.authorizer.allows_deep(ask(BOB, "delete"))
        assert shard.tenancy.authorizer.allows_deep(ask(MASTER, "delete"))


async def provide(shard: ServedShard) -> None:
    await shard.cluster(PROVIDER, "root:provider", owner="ada")
    await shard.cluster(HOME, "root:home", owner="bob")
    await shard.export(PROVIDER, maximalPermissionPolicy={"local": {}})
    await shard.bind(HOME, "root:provider", "cowboys")


def cowboys(shard: ServedShard, who: User, verb: str = "get", name: str = "x") -> bool:
    return allowed(shard, who, verb, "cowboys", group="wild.west", name=name)


async def test_decisions_follow_the_policy_of_the_provider() -> None:
    async with ServedShard() as shard:
        await provide(shard)
        assert not cowboys(shard, BOB)
        await shard.role(PROVIDER, "policy", rule("get", "cowboys"))
        await shard.bind_role(PROVIDER, "policy", "policy", "apis.kcp.io:binding:bob")
        assert cowboys(shard, BOB)
        roles = ("rbac.authorization.k8s.io", "clusterroles", "policy")
        await shard.edit(PROVIDER, *roles, lambda obj: obj.update(rules=[rule("get", "cowboys", "mine")]))
        assert cowboys(shard, BOB, name="mine")
        assert not cowboys(shard, BOB, name="other")
        assert not cowboys(shard, BOB, "list")
        await shard.edit(PROVIDER, "apis.kcp.io", "apiexports", "cowboys", lambda obj: obj["spec"].pop("maximalPermissionPolicy"))
        assert cowboys(shard, BOB, "list")
        policy: Object = {"maximalPermissionPolicy": {"local": {}}}
        await shard.edit(PROVIDER, "apis.kcp.io", "apiexports", "cowboys", lambda obj: obj["spec"].update(policy))
        assert not cowboys(shard, BOB, "list")
        # What is not bound is none of its business.
        assert allowed(shard, BOB, "list")


async def test_a_policy_is_about_who_one_is_at_home() -> None:
    async with ServedShard() as shard:
        await provide(shard)
        await shard.role(PROVIDER, "policy", rule("get", "cowboys"))
        robot = f"system:kcp:serviceaccount:{HOME}:default:robot"
        await shard.bind_role(PROVIDER, "policy", "policy", "apis.kcp.io:binding:bob", f"apis.kcp.io:binding:{robot}")
        await shard.bind_role(HOME, "robots", "cluster-admin", "system:serviceaccount:default:robot")
        assert cowboys(shard, account())
        # Somebody who is impersonated is confined to the consumer's cluster, and the policy asks in the provider's.
        scoped = User("bob", (*BOB.groups, "vip"), "", make_extra({SCOPES_EXTRA: [f"cluster:{HOME}"]}))
        assert not cowboys(shard, scoped)
        await shard.bind_role(PROVIDER, "vips", "policy", "apis.kcp.io:binding:vip", group=True)
        assert not cowboys(shard, scoped)
        await shard.bind_role(PROVIDER, "all", "policy", f"apis.kcp.io:binding:{AUTHENTICATED_GROUP}", group=True)
        assert cowboys(shard, scoped)
        warrant = orjson.dumps({"user": "bob", "groups": [AUTHENTICATED_GROUP]}).decode()
        assert cowboys(shard, User("eve", (AUTHENTICATED_GROUP,), "", make_extra({WARRANT_EXTRA: [warrant]})))


async def copy(shard: ServedShard, resource: str, cluster: str, obj: Object) -> None:
    """As the shard that holds the cluster writes it."""
    key = catalog_key(resource, cluster, obj["metadata"]["name"])
    await shard.store.commit([], [Put(key, orjson.dumps(obj))], [])
    await shard.until(lambda: shard.tenancy.catalog.entry(resource, cluster, obj["metadata"]["name"]) is not None)


async def test_clusters_of_other_shards_are_known_by_their_copies() -> None:
    async with ServedShard() as shard:
        rbac = "rbac.authorization.k8s.io"
        assert not shard.tenancy.authorizer.allows_deep(ask(BOB, "bind", "apiexports", FAR))
        await copy(shard, f"{rbac}/clusterroles", FAR, {"metadata": {"name": "r"}, "rules": [ENTER, rule("bind", "apiexports")]})
        subjects = [{"kind": "User", "name": "bob"}]
        bound: Object = {"metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "r"}, "subjects": subjects}
        await copy(shard, f"{rbac}/clusterrolebindings", FAR, bound)
        assert shard.tenancy.authorizer.allows_deep(ask(BOB, "bind", "apiexports", FAR))
        assert not allowed(shard, BOB, "bind", "apiexports", FAR)
        await copy(shard, LOGICAL_CLUSTERS, FAR, {"metadata": {"name": "cluster"}, "status": {"phase": "Ready"}})
        assert allowed(shard, BOB, "bind", "apiexports", FAR)
        key = catalog_key(f"{rbac}/clusterroles", FAR, "r")
        await shard.store.commit([], [Put(key, orjson.dumps({"metadata": {"name": "r"}, "rules": [ENTER]}))], [])
        await shard.until(lambda: not shard.tenancy.authorizer.allows_deep(ask(BOB, "bind", "apiexports", FAR)))
