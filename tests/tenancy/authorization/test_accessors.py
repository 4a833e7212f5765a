"""Who may access which of many clusters: the same answers as for one user and one cluster, also after changes and of the past."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import product

import orjson
import pytest

from tenantry.apiserver.user import (
    AUTHENTICATED_GROUP,
    CLUSTER_NAME_EXTRA,
    EXTERNAL_LOGICAL_CLUSTER_ADMIN_GROUP,
    KCP_ADMIN_GROUP,
    LOGICAL_CLUSTER_ADMIN_GROUP,
    SCOPES_EXTRA,
    UNAUTHENTICATED_GROUP,
    WARRANT_EXTRA,
    WORKSPACE_BOOTSTRAPPER_GROUP,
    User,
    make_extra,
)
from tenantry.kube.objects import Object
from tenantry.storage.keys import Key
from tenantry.storage.range import TooOld
from tests.support.people import MASTER, person
from tests.support.tenancies import ServedShard

ORG = "rorg000000000000"
ENTER: Object = {"nonResourceURLs": ["/"], "verbs": ["access"]}
INITIALIZER = f"system:kcp:initializer:{ORG}:special"


def account(cluster: str = "", name: str = "robot", **extra: list[str]) -> User:
    groups = ("system:serviceaccounts", "system:serviceaccounts:default", AUTHENTICATED_GROUP)
    home = {CLUSTER_NAME_EXTRA: [cluster]} if cluster else {}
    return User(f"system:serviceaccount:default:{name}", groups, "u", make_extra({**home, **extra}))


def scoped(name: str, cluster: str) -> User:
    return User(name, (AUTHENTICATED_GROUP,), extra=make_extra({SCOPES_EXTRA: [f"cluster:{cluster}"]}))


def warranted(by: str) -> User:
    warrant = orjson.dumps({"user": by, "groups": [AUTHENTICATED_GROUP]}).decode()
    return User("somebody", (AUTHENTICATED_GROUP,), extra=make_extra({WARRANT_EXTRA: [warrant]}))


KINDS: dict[str, Object] = {
    "plain": {},
    "staff": {"metadata": {"annotations": {"authorization.kcp.io/required-groups": "staff, senior;boss"}}},
    "scheduling": {"status": {"phase": "Scheduling"}},
    "deleting": {"status": {"phase": "Deleting"}},
    "waiting": {"status": {"phase": "Initializing", "initializers": [f"{ORG}:special"]}},
    "unowned": {},
}
PLACES = {"here": "r", "there": "900"}
CLUSTERS = {f"{place}-{kind}": f"{start}{kind}".ljust(16, "0") for (place, start), kind in product(PLACES.items(), KINDS)}
USERS = [
    *map(person, ("ann", "bob", "eve", "nobody")),
    *(person("ann", groups) for groups in ("staff", "boss", "friends")),
    person("ann", "staff", "senior"),
    person("eve", "friends", "boss"),
    *(person("root", group) for group in (KCP_ADMIN_GROUP, WORKSPACE_BOOTSTRAPPER_GROUP)),
    *(person("root", group) for group in (LOGICAL_CLUSTER_ADMIN_GROUP, EXTERNAL_LOGICAL_CLUSTER_ADMIN_GROUP)),
    person("controller", INITIALIZER),
    MASTER,
    User("system:anonymous", (UNAUTHENTICATED_GROUP,)),
    account(),
    *(account(cluster) for cluster in (ORG, CLUSTERS["here-plain"], CLUSTERS["there-plain"])),
    *(scoped("ann", cluster) for cluster in (CLUSTERS["here-plain"], CLUSTERS["there-plain"])),
    warranted("ann"),
    warranted("bob"),
]


@asynccontextmanager
async def platform() -> AsyncIterator[tuple[ServedShard, ServedShard]]:
    """A workspace of each kind on each shard, under a parent that is here."""
    async with ServedShard() as here:
        there = ServedShard(store=here.store, name="there")
        async with there:
            await here.cluster(ORG, "root:org")
            for name, cluster in CLUSTERS.items():
                shard = here if cluster.startswith("r") else there
                owner = "" if name.endswith("unowned") else "ann"
                created_by = {"createdBy": {"username": owner, "groups": [AUTHENTICATED_GROUP]}} if owner else {}
                kind = KINDS[name.partition("-")[2]]
                await shard.cluster(cluster, owner=owner, **{"spec": created_by, **kind})
                workspace: Object = {"metadata": {"name": name}, "spec": {"cluster": cluster}, "status": {"phase": "Ready"}}
                if name.endswith("scheduling"):
                    workspace = {
                        "metadata": {"name": name, "annotations": {"internal.tenancy.kcp.io/cluster": cluster}},
                        "status": {"phase": "Scheduling"},
                    }
                await here.put(ORG, "tenancy.kcp.io", "workspaces", workspace)
                await shard.role(cluster, "enter", ENTER)
                await shard.bind_role(cluster, "enter", "enter", "bob", f"system:kcp:serviceaccount:{ORG}:default:robot")
                await shard.bind_role(cluster, "friends", "enter", "friends", group=True)
                await shard.role(cluster, "reader", {"apiGroups": [""], "resources": ["*"], "verbs": ["*"]})
                await shard.bind_role(cluster, "reader", "reader", "nobody")
            yield here, there


def differences(shard: ServedShard) -> list[tuple[str, User, bool, bool]]:
    """Where the answers about many clusters are not those about one."""
    authorizer = shard.tenancy.authorizer
    found = []
    for user in USERS:
        accessible = authorizer.accessible(user)
        for (name, cluster), owner in product([*CLUSTERS.items(), ("none", "rnone00000000000")], ("", "ann")):
            # The owner counts where the cluster is on another shard.
            one, many = authorizer.may_access(user, cluster, owner=owner), accessible(cluster, owner)
            if one != many:
                found.append((name, user, one, many))
    return found


async def test_the_answers_are_those_for_one_cluster() -> None:
    async with platform() as (here, there):
        last = here.tenancy.catalog
        await here.until(
            lambda: last.entry("rbac.authorization.k8s.io/clusterrolebindings", CLUSTERS["there-unowned"], "friends")
        )
        assert differences(here) == []
        assert differences(there) == []
        bob = here.tenancy.authorizer.accessible(person("bob"))
        seen = {name for name, cluster in CLUSTERS.items() if bob(cluster, "ann")}
        assert seen == {f"{place}-{kind}" for place in PLACES for kind in ("plain", "deleting", "waiting", "unowned")}
        # Remembered answers follow changes.
        for shard, cluster in ((here, CLUSTERS["here-plain"]), (there, CLUSTERS["there-plain"])):
            rbac = f"/clusters/{cluster}/apis/rbac.authorization.k8s.io/v1"
            assert (await shard.call("DELETE", f"{rbac}/clusterrolebindings/enter", person("ann")))[0] == 200
            await here.until(lambda: not bob(cluster, "ann"))  # noqa: B023
            await shard.edit(cluster, "rbac.authorization.k8s.io", "clusterroles", "enter", lambda role: role.update(rules=[]))
            await shard.edit(
                cluster, "core.kcp.io", "logicalclusters", "cluster", lambda obj: obj["status"].update(phase="Ready")
            )
        eve = here.tenancy.authorizer.accessible(person("eve", "friends"))
        await here.until(lambda: not any(eve(CLUSTERS[f"{place}-plain"], "ann") for place in PLACES))
        assert differences(here) == []


async def test_what_system_admin_gives_counts_everywhere() -> None:
    async with platform() as (here, _):
        auditor = person("auditor")
        accessible = here.tenancy.authorizer.accessible(auditor)
        assert not accessible(CLUSTERS["here-plain"], "")
        await here.role("system:admin", "audit", ENTER)
        await here.bind_role("system:admin", "audit", "audit", "auditor")
        await here.until(lambda: accessible(CLUSTERS["here-plain"], ""))
        assert accessible(CLUSTERS["there-plain"], "")
        assert not accessible(CLUSTERS["here-scheduling"], "")
        assert differences(here) == []


@pytest.mark.parametrize("place", PLACES)
async def test_the_answers_of_the_past(place: str) -> None:
    async with platform() as (here, there):
        shard = {"here": here, "there": there}[place]
        cluster = CLUSTERS[f"{place}-plain"]
        authorizer, range_ = here.tenancy.authorizer, here.cell.range_of(ORG)
        bob, eve = person("bob"), person("eve")
        now = authorizer.accessible(bob)
        await here.until(lambda: now(cluster, ""))
        for who in (bob, eve, account(cluster)):
            authorizer.accessible(who)(CLUSTERS["here-unowned"], "")
        await here.put(ORG, "", "configmaps", {"metadata": {"name": "moves-the-version", "namespace": "default"}})
        before = range_.version
        assert authorizer.accessible_at(bob, ORG, before) is None
        await shard.bind_role(cluster, "late", "enter", "eve")
        await here.until(lambda: authorizer.accessible(eve)(cluster, ""))
        rbac = f"/clusters/{cluster}/apis/rbac.authorization.k8s.io/v1"
        assert (await shard.call("DELETE", f"{rbac}/clusterrolebindings/enter", person("ann")))[0] == 200
        await here.until(lambda: not now(cluster, ""))
        for user, expected in ((bob, True), (eve, False), (person("ann"), True)):
            then = authorizer.accessible_at(user, ORG, before)
            assert then is not None
            assert then(cluster, "ann") is expected, user
            assert then(CLUSTERS["here-unowned"], "") is (user is bob)
        for user in (account(cluster), scoped("ann", cluster)):
            then = authorizer.accessible_at(user, ORG, before)
            assert then is not None
            with pytest.raises(TooOld):
                then(cluster, "")
        assert authorizer.accessible_at(bob, "rother0000000000", before) is None
        assert authorizer.accessible_at(MASTER, ORG, 1) is None
        with pytest.raises(TooOld):
            authorizer.accessible_at(bob, ORG, 1)


async def test_a_workspace_that_is_gone() -> None:
    """A cluster of another shard without copies is known by its Workspace alone."""
    async with platform() as (here, there):
        cluster = CLUSTERS["here-waiting"]
        accessible = there.tenancy.authorizer.accessible(person("ann"))
        await there.until(lambda: accessible(cluster, "ann"))
        workspaces = here.tenancy.definitions.workspaces.storage_key
        record = here.cell.range_of(ORG).get(Key(ORG, workspaces, "", "here-waiting"))
        assert record is not None
        await here.cell.commit([here.tenancy.changes.removed(record)])
        await there.until(lambda: not there.tenancy.directory.knows(cluster))
        assert not there.tenancy.authorizer.may_access(person("ann"), cluster, owner="ann")
        assert not accessible(cluster, "ann")


async def test_the_past_of_users_for_whom_more_than_subjects_counts() -> None:
    async with platform() as (here, _):
        cluster = CLUSTERS["here-waiting"]
        authorizer, range_ = here.tenancy.authorizer, here.cell.range_of(ORG)
        bob, controller = person("bob"), person("controller", INITIALIZER)
        for user in (bob, controller):
            assert authorizer.accessible(user)(cluster, "")
        before = range_.version
        await here.edit(cluster, "core.kcp.io", "logicalclusters", "cluster", lambda obj: obj["status"].update(phase="Ready"))
        assert not authorizer.accessible(controller)(cluster, "")
        assert authorizer.accessible(bob)(cluster, "")
        # For bob nothing has changed.
        assert authorizer.accessible_at(bob, ORG, before) is None
        then = authorizer.accessible_at(controller, ORG, before)
        assert then is not None
        with pytest.raises(TooOld):
            then(cluster, "")
