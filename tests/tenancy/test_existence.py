"""Nobody learns from an answer whether something exists: of places that a caller may not enter, some are there and some not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path
from typing import Any

import orjson
import pytest

from tenantry.apiserver.request import Request
from tenantry.apiserver.user import (
    AUTHENTICATED_GROUP,
    CLUSTER_NAME_EXTRA,
    KCP_ADMIN_GROUP,
    UNAUTHENTICATED_GROUP,
    User,
    make_extra,
)
from tenantry.http.messages import Response
from tenantry.storage.keys import Key
from tests.support.one_process import Stack, running
from tests.support.people import MASTER, person

ANONYMOUS = User("system:anonymous", (UNAUTHENTICATED_GROUP,))
STRANGER = person("stranger")
FOREIGN = User(
    "system:serviceaccount:default:robot",
    ("system:serviceaccounts", "system:serviceaccounts:default", AUTHENTICATED_GROUP),
    extra=make_extra({CLUSTER_NAME_EXTRA: ["rsomewhereelse00"]}),
)
CALLERS = [ANONYMOUS, STRANGER, FOREIGN]

BELOW = [
    *("", "/", "/api", "/api/", "/apis", "/api/v1", "/apis/apps", "/apis/tenancy.kcp.io/v1alpha1", "/version", "/metrics"),
    *("/livez", "/readyz", "/healthz", "/livez/ping", "/readyz/none", "/openapi/v2", "/openapi/v3", "/openapi/v3/api/v1"),
    *(
        "/.well-known/openid-configuration",
        "/openid/v1/jwks",
        "/clusters/root/api",
        "/services/x",
        "/nothing",
        "//api",
        "/api//v1",
    ),
    *("/api/v1/configmaps", "/api/v1/namespaces/default/configmaps/x", "/api/v1/namespaces/default/serviceaccounts/x/token"),
    *("/api/v1/watch/configmaps", "/apis/tenancy.kcp.io/v1alpha1/workspaces/~", "/apis/none.example/v1/things"),
    *("/apis/tenancy.kcp.io/v1alpha1/workspaces:0123", "/apis/core.kcp.io/v1alpha1/logicalclusters/cluster"),
    *("/apis/core.kcp.io/v1alpha1/logicalclusters/cluster/status", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"),
]
HEALTH = ("/livez", "/readyz", "/healthz")
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
QUERIES = ["", "watch=1", "timeout=x", "limit=x", "fieldSelector=metadata.name=x"]


@pytest.fixture(params=[1, 2])
async def stack(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stack]:
    async with running(tmp_path, shards=request.param, capacity=2) as stack:
        yield stack


async def put_status(stack: Stack, cluster: str, change: Any) -> None:
    """As the system writes it, without admission."""
    tenancy = stack.tenancy_of(cluster)
    key = Key(cluster, tenancy.definitions.logical_clusters.storage_key, "", "cluster")
    record = tenancy.cell.range_of(cluster).get(key)
    assert record is not None
    obj = orjson.loads(record.value)
    change(obj)
    await tenancy.cell.commit([tenancy.changes.updated(tenancy.definitions.logical_clusters, record, obj)])


async def places(stack: Stack) -> dict[str, tuple[list[str], list[str]]]:
    """Kinds of places: such as exist, and such as do not. None of the callers may enter any of them."""
    ids = {name: await stack.workspace("root", name) for name in ("plain", "inactive", "closed", "ending", "broken")}
    child = await stack.workspace("root:plain", "child")

    def annotate(key: str, value: str) -> Any:
        return lambda obj: obj["metadata"].setdefault("annotations", {}).update({key: value})

    await put_status(stack, ids["inactive"], annotate("core.kcp.io/inactive", "true"))
    await put_status(stack, ids["closed"], annotate("authorization.kcp.io/required-groups", "devs"))
    for name, phase in (("ending", "Deleting"), ("broken", "Unavailable")):
        await put_status(stack, ids[name], lambda obj, phase=phase: obj["status"].update(phase=phase))
    # Whoever is logged in would be let in, were it not for the groups.
    subject = {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": AUTHENTICATED_GROUP}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:kcp:workspace:access"}
    binding = {"metadata": {"name": "all"}, "subjects": [subject], "roleRef": reference}
    path = f"/clusters/{ids['closed']}/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    assert (await stack.call("POST", path, MASTER, binding))[0] == 201
    # Callers with access would see in the headers which FlowSchema their requests have.
    rule = {"verbs": ["*"], "nonResourceURLs": ["*"]}
    of_all = {"subjects": [{"kind": "Group", "group": {"name": "*"}}], "nonResourceRules": [rule]}
    spec = {"priorityLevelConfiguration": {"name": "global-default"}, "matchingPrecedence": 2, "rules": [of_all]}
    path = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas"
    for name in ("plain", "closed"):
        made = {"metadata": {"name": "a"}, "spec": spec}
        assert (await stack.call("POST", f"/clusters/{ids[name]}{path}", MASTER, made))[0] == 201
    home = "/clusters/root/apis/tenancy.kcp.io/v1alpha1/workspaces/~"

    async def ready() -> Any:
        status, found = await stack.call("GET", home, person("ada"))
        return found if status == 200 else None

    homes = (await stack.eventually(ready))["spec"]["cluster"]
    there = [*ids.values(), child, homes, *(f"root:{name}" for name in ids), "root:plain:child", "user:ada"]
    # Of no range, of a range without such a cluster, no ids at all, and paths that end early or late.
    gone = [
        *("1" + cluster[1:-1] + "0" for cluster in (child, homes)),
        *(cluster[:-1] + ("0" if cluster[-1] != "0" else "1") for cluster in (child, homes)),
        *("root:none", "root:plain:none", "root:none:child", "user:eve", "user:ada:none", f"{child}:none", "NO", "a..b", "root:"),
    ]
    ranges = [info.name for info in stack.map.ranges()]
    return {
        "/clusters/{}": (there, gone),
        "/ranges/{}": (ranges, ["none", "range-99", "NO"]),
        "/ranges/{}/clusters/*": (ranges, ["none", "range-99"]),
        "/ranges/{}/nothing": (ranges, ["none"]),
        "/ranges/{}/services/none": (ranges, ["none"]),
        f"/ranges/{{}}/services/apiexport/{child}/none/clusters/*": (ranges, ["none"]),
        f"/ranges/{{}}/clusters/{child}": (ranges, ["none"]),
        "/ranges/root/clusters/{}": (there, gone),
        "/services/workspaces/{}": (there, gone),
        f"/services/apiexport/{child}/none/clusters/{{}}": ([*ids.values(), child], gone[:4]),
        "/services/apiexport/{}/tenancy.kcp.io/clusters/root": (["root", *ids.values(), child], gone[:4]),
        "/services/apiexport/root/{}/clusters/*": (["tenancy.kcp.io"], ["none"]),
        "/services/initializingworkspaces/root:{}/clusters/*": (["universal", "home"], ["none"]),
        "/services/initializingworkspaces/root:universal/clusters/{}": ([*ids.values(), child], gone[:4]),
        "/services/terminatingworkspaces/root:universal/clusters/{}": ([*ids.values(), child], gone[:4]),
    }


async def answer(stack: Stack, method: str, path: str, who: User, query: str, **headers: str) -> tuple[Any, ...]:
    """All of an answer, but for what says which place was asked for."""

    async def read(limit_bytes: int) -> bytes:
        return b"{}"

    assert stack._front is not None
    request = Request(method, path, query, {"content-type": "application/json", **headers}, read, user=who)
    reply = await stack._front(request)
    assert isinstance(reply, Response), (method, path, query)
    headers = {key: value for key, value in reply.headers.items() if key.lower() != "audit-id"}
    return reply.status, reply.body, reply.content_type, headers, reply.warnings, request.header_lines


FEW = [("GET", "/api/v1/configmaps", ""), ("GET", "/livez", ""), ("POST", "/api", ""), ("GET", "", "")]
MANY = [
    *product(["GET"], BELOW, [""]),
    *product(METHODS, ["/api/v1/configmaps", "/version"], [""]),
    *product(["GET"], ["/api/v1/configmaps"], QUERIES),
]


async def test_what_is_there_is_answered_like_what_is_not(stack: Stack) -> None:
    for shape, (there, gone) in (await places(stack)).items():
        for who, (method, below, query) in product(CALLERS, MANY if shape == "/clusters/{}" else FEW):
            found: dict[Any, list[str]] = {}
            for each in (*there, *gone):
                path = shape.format(each) + below
                said = await answer(stack, method, path, who, query)
                found.setdefault((said[0], said[1].replace(path.encode(), b"PATH"), *map(str, said[2:])), []).append(each)
            assert len(found) == 1, (shape, who.name, method, below, query, found)
            code = next(iter(found))[0]
            assert code in (400, 403, 500, 501) or below in HEALTH or shape.startswith("/services/work"), (
                shape,
                who,
                method,
                below,
            )


async def test_whoever_has_access_to_everything_learns_what_exists(stack: Stack) -> None:
    kinds = await places(stack)
    there, gone = kinds["/clusters/{}"]
    for who in (MASTER, person("admin", KCP_ADMIN_GROUP)):
        for each in gone:
            code = (await answer(stack, "GET", f"/clusters/{each}/api/v1/configmaps", who, ""))[0]
            # An id is not looked up before RBAC is asked; kcp's administrators have none in a cluster that is not there.
            assert (
                code == 400
                if each in ("NO", "a..b", "root:")
                else code in ((404,) if ":" in each or who is MASTER else (403, 404))
            )
        status, said = await stack.call("GET", "/ranges/none/clusters/root/api", who)
        assert status == 404
    status, said = await stack.call("GET", f"/clusters/{there[1]}/api/v1/configmaps", person("admin", KCP_ADMIN_GROUP))
    assert (status, said["message"].endswith("logical cluster is marked inactive")) == (403, True)
