"""A name is of the cluster that gave it: what one cluster writes down about a user, and another one reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from tenantry.apiserver.user import (
    AUTHENTICATED_GROUP,
    CLUSTER_NAME_EXTRA,
    SCOPES_EXTRA,
    WARRANT_EXTRA,
    User,
    make_extra,
    service_account_groups,
    service_account_name,
)
from tests.support.one_process import Stack, running
from tests.support.people import person

RBAC = "apis/rbac.authorization.k8s.io/v1"
LOGICAL_CLUSTER = "apis/core.kcp.io/v1alpha1/logicalclusters/cluster"
OWNER = "experimental.tenancy.kcp.io/owner"
WORKSPACE = {"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace"}
TYPE = {"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "WorkspaceType"}


def account(cluster: str, **extra: list[str]) -> User:
    """As its token makes it."""
    groups = (*service_account_groups("default"), AUTHENTICATED_GROUP)
    return User(service_account_name("default", "robot"), groups, "u", make_extra({CLUSTER_NAME_EXTRA: [cluster], **extra}))


def confined(name: str, cluster: str, *groups: str) -> User:
    """As impersonation inside of a cluster makes it."""
    return User(name, (*groups, AUTHENTICATED_GROUP), "", make_extra({SCOPES_EXTRA: [f"cluster:{cluster}"]}))


async def admin(stack: Stack, cluster: str, *users: str) -> None:
    subjects = [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user} for user in users]
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    binding = {"metadata": {"name": "admins"}, "subjects": subjects, "roleRef": reference}
    status, answer = await stack.call("POST", f"/clusters/{cluster}/{RBAC}/clusterrolebindings", body=binding)
    assert status == 201, answer


async def has_access(stack: Stack, cluster: str, who: User) -> bool:
    status, answer = await stack.call("GET", f"/clusters/{cluster}/api/v1/secrets", who)
    assert status in (200, 403), answer
    return bool(status == 200)


@pytest.mark.parametrize("shards", [1, 2])
async def test_a_service_account_owns_what_it_makes_under_its_global_name(tmp_path: Path, shards: int) -> None:
    async with running(tmp_path, shards=shards, capacity=1) as stack:
        home = await stack.workspace("root", "home")
        await admin(stack, home, service_account_name("default", "robot"))
        made = await stack.workspace("root:home", "mine", account(home))
        assert await has_access(stack, made, account(home))
        # Everybody else of that name, the one of the new workspace before all.
        for namesake in (account(made), account("root"), User(service_account_name("default", "robot"), (AUTHENTICATED_GROUP,))):
            assert not await has_access(stack, made, namesake)
        name = f"system:kcp:serviceaccount:{home}:default:robot"
        _, logical_cluster = await stack.call("GET", f"/clusters/{made}/{LOGICAL_CLUSTER}")
        assert logical_cluster["spec"]["createdBy"]["username"] == name
        _, workspace = await stack.call("GET", "/clusters/root:home/apis/tenancy.kcp.io/v1alpha1/workspaces/mine")
        assert orjson.loads(workspace["metadata"]["annotations"][OWNER])["username"] == name
        personal = "/services/workspaces/root:home/apis/tenancy.kcp.io/v1alpha1/workspaces"
        for who, wanted in ((account(home), ["mine"]), (account(made), []), (account("root"), [])):
            _, found = await stack.call("GET", personal, who)
            assert [each["metadata"]["name"] for each in found["items"]] == wanted


async def test_nobody_is_written_down_by_the_name_of_one_cluster(tmp_path: Path) -> None:
    """Whoever makes a workspace, and however it is known: no name of the cluster, no warrant and no token is kept."""
    async with running(tmp_path) as stack:
        home = await stack.workspace("root", "home")
        await admin(stack, home, service_account_name("default", "robot"), "zoe")
        warrant = orjson.dumps({"user": "root", "groups": ["system:kcp:admin"]}).decode()
        makers = [
            account(home),
            account(home, **{"authentication.kubernetes.io/credential-id": ["JTI=1"]}),
            confined(service_account_name("default", "robot"), home),
            User(service_account_name("default", "robot"), (AUTHENTICATED_GROUP,)),
            User("zoe", (AUTHENTICATED_GROUP,), "", make_extra({WARRANT_EXTRA: [warrant]})),
        ]
        for number, maker in enumerate(makers):
            made = await stack.workspace("root:home", f"w{number}", maker)
            _, logical_cluster = await stack.call("GET", f"/clusters/{made}/{LOGICAL_CLUSTER}")
            _, bindings = await stack.call("GET", f"/clusters/{made}/{RBAC}/clusterrolebindings/workspace-admin")
            for text in (orjson.dumps(logical_cluster).decode(), orjson.dumps(bindings).decode()):
                assert '"system:serviceaccount:' not in text
                assert "system:serviceaccounts:default" not in text
                assert "warrant" not in text
                assert "credential-id" not in text
                assert CLUSTER_NAME_EXTRA not in text
        # A name that a workspace gave to its own users means nothing outside, and is not taken for somebody else's.
        local = User("zoe", (AUTHENTICATED_GROUP,), "", make_extra({CLUSTER_NAME_EXTRA: [home]}))
        body = {**WORKSPACE, "metadata": {"name": "local"}}
        status, answer = await stack.call("POST", "/clusters/root:home/apis/tenancy.kcp.io/v1alpha1/workspaces", local, body)
        assert (status, answer["reason"]) == (403, "Forbidden")
        assert (await stack.call("GET", "/clusters/root/apis/tenancy.kcp.io/v1alpha1/workspaces/~", local))[0] == 403


async def token(stack: Stack, cluster: str) -> str:
    accounts = f"/clusters/{cluster}/api/v1/namespaces/default/serviceaccounts"
    assert (await stack.call("POST", accounts, body={"metadata": {"name": "robot"}}))[0] == 201
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    status, answer = await stack.call("POST", f"{accounts}/robot/token", body=request)
    assert status == 201, answer
    return str(answer["status"]["token"])


async def test_a_token_of_elsewhere_is_not_reviewed_as_an_account_of_here(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        home, other = await stack.workspace("root", "home"), await stack.workspace("root", "other")
        review: Any = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": await token(stack, home)},
        }
        names = []
        for cluster in (home, other):
            status, answer = await stack.call(
                "POST", f"/clusters/{cluster}/apis/authentication.k8s.io/v1/tokenreviews", body=review
            )
            assert (status, answer["status"]["authenticated"]) == (201, True)
            names.append((answer["status"]["user"]["username"], "system:serviceaccounts" in answer["status"]["user"]["groups"]))
        assert names == [
            ("system:serviceaccount:default:robot", True),
            (f"system:kcp:serviceaccount:{home}:default:robot", False),
        ]


async def prepared(stack: Stack, maker: User) -> str:
    """The content, as ada's initializer sees it, of a new workspace that `maker` made in root:home."""
    kind: Any = {
        **TYPE,
        "metadata": {"name": "prepared"},
        "spec": {"initializer": True, "extend": {"with": [{"name": "universal", "path": "root"}]}},
    }
    types = "/clusters/root:home/apis/tenancy.kcp.io/v1alpha1/workspacetypes"
    status, answer = await stack.call("POST", types, person("ada"), kind)
    assert status == 201, answer
    await stack.create_workspace("root:home", "new", maker, type={"name": "prepared", "path": "root:home"})

    async def initializing() -> str:
        _, found = await stack.call("GET", "/clusters/root:home/apis/tenancy.kcp.io/v1alpha1/workspaces/new")
        cluster = (found.get("spec") or {}).get("cluster") or ""
        return cluster if (found.get("status") or {}).get("phase") == "Initializing" else ""

    made = await stack.eventually(initializing)
    _, home = await stack.call("GET", "/clusters/root/apis/tenancy.kcp.io/v1alpha1/workspaces/home")
    return f"/services/initializingworkspaces/{home['spec']['cluster']}:prepared/clusters/{made}"


async def test_an_initializer_acts_as_a_service_account_under_its_global_name_as_the_account_itself_would(tmp_path: Path) -> None:
    """What other workspaces grant to the account, or to all of its cluster, and nothing by its local name."""
    async with running(tmp_path) as stack:
        home, other = await stack.workspace("root", "home"), await stack.workspace("root", "other")
        local, everywhere = service_account_name("default", "robot"), f"system:kcp:serviceaccount:{home}:default:robot"
        await admin(stack, home, "ada", local)
        view = await prepared(stack, account(home))
        assert (await stack.call("GET", f"{view}/api/v1/secrets", person("ada")))[0] == 200
        types = f"/clusters/{other}/apis/tenancy.kcp.io/v1alpha1/workspacetypes"
        grants = {
            "by-global-name": ("User", everywhere),
            "by-cluster": ("Group", f"system:cluster:{home}"),
            "by-local-name": ("User", local),
            "by-accounts": ("Group", "system:serviceaccounts"),
            "by-namespace": ("Group", "system:serviceaccounts:default"),
            "by-nothing": ("User", "nobody"),
        }
        allowed: dict[str, list[str]] = {"through the view": [], "itself": [], "its namesake": []}
        for name, (kind, subject) in grants.items():
            assert (await stack.call("POST", types, body={**TYPE, "metadata": {"name": name}, "spec": {}}))[0] == 201
            rules = [
                {"apiGroups": ["tenancy.kcp.io"], "resources": ["workspacetypes"], "resourceNames": [name], "verbs": ["use"]}
            ]
            body: Any = {"metadata": {"name": name}, "rules": rules}
            assert (await stack.call("POST", f"/clusters/{other}/{RBAC}/clusterroles", body=body))[0] == 201
            reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
            subjects = [{"kind": kind, "apiGroup": "rbac.authorization.k8s.io", "name": subject}]
            body = {"metadata": {"name": name}, "roleRef": reference, "subjects": subjects}
            assert (await stack.call("POST", f"/clusters/{other}/{RBAC}/clusterrolebindings", body=body))[0] == 201
            child = {**WORKSPACE, "metadata": {"name": name}, "spec": {"type": {"name": name, "path": "root:other"}}}
            workspaces = "apis/tenancy.kcp.io/v1alpha1/workspaces"
            for way, (place, who) in {
                "through the view": (view, person("ada")),
                "itself": (f"/clusters/{home}", account(home)),
                "its namesake": (f"/clusters/{home}", account("root")),
            }.items():
                status, answer = await stack.call("POST", f"{place}/{workspaces}", who, child, "dryRun=All")
                assert status in (201, 403), answer
                if status == 201:
                    allowed[way].append(name)
        assert allowed == {
            "through the view": ["by-global-name", "by-cluster"],
            "itself": ["by-global-name", "by-cluster"],
            "its namesake": [],
        }


async def test_an_initializer_acts_as_whoever_was_impersonated_inside_of_the_new_workspace_alone(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        home = await stack.workspace("root", "home")
        await admin(stack, home, "ada", "zoe")
        kind: Any = {
            **TYPE,
            "metadata": {"name": "prepared"},
            "spec": {"initializer": True, "extend": {"with": [{"name": "universal", "path": "root"}]}},
        }
        status, answer = await stack.call(
            "POST", f"/clusters/{home}/apis/tenancy.kcp.io/v1alpha1/workspacetypes", person("ada"), kind
        )
        assert status == 201, answer
        await stack.workspace("root", "vips")
        vips = str((await stack.ready("root", "vips"))["spec"]["cluster"])
        await admin(stack, vips, "zoe")
        use = {"name": "prepared", "path": "root:home"}
        await stack.create_workspace("root:home", "new", confined("zoe", home), type=use)

        async def initializing() -> str:
            _, found = await stack.call("GET", "/clusters/root:home/apis/tenancy.kcp.io/v1alpha1/workspaces/new")
            cluster = (found.get("spec") or {}).get("cluster") or ""
            return cluster if (found.get("status") or {}).get("phase") == "Initializing" else ""

        made = await stack.eventually(initializing)
        view = f"/services/initializingworkspaces/{home}:prepared/clusters/{made}"
        # It is the owner in there,
        assert (await stack.call("GET", f"{view}/api/v1/secrets", person("ada")))[0] == 200
        # and has none of zoe's rights anywhere else: here, to use a type of a workspace of hers.
        kind["metadata"]["name"] = "hers"
        assert (await stack.call("POST", f"/clusters/{vips}/apis/tenancy.kcp.io/v1alpha1/workspacetypes", body=kind))[0] == 201
        child = {**WORKSPACE, "metadata": {"name": "child"}, "spec": {"type": {"name": "hers", "path": "root:vips"}}}
        path = "apis/tenancy.kcp.io/v1alpha1/workspaces"
        status, answer = await stack.call("POST", f"{view}/{path}", person("ada"), child)
        assert status == 403, answer
        assert "missing verb='use'" in answer["message"]
        assert (await stack.call("POST", f"/clusters/{vips}/{path}", person("zoe"), child))[0] == 201
