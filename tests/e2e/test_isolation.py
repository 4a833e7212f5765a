"""A tenant's secret, and everything that somebody who owns another workspace might try to read it, or to be taken for another."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.e2e import provider
from tests.e2e.people import ACCESS, Person, bind, grant
from tests.e2e.provider import Provider
from tests.e2e.test_fuzz import exchanged
from tests.support.api import (
    CONFIG_MAPS,
    NAMESPACES,
    PATCHES,
    RBAC,
    SECRETS,
    SERVICE_ACCOUNTS,
    WORKSPACES,
    Api,
    Object,
    config_map,
)
from tests.support.waiting import wait_for

TREASURE = "TREASURE"
ENCODED = base64.b64encode(TREASURE.encode())
SECRET = f"{SECRETS}/treasure"
PERSONAL = "/services/workspaces/root/apis/tenancy.kcp.io/v1alpha1/workspaces"


@dataclass(frozen=True)
class Neighbours:
    """`mine` belongs to `me`, who may do everything there; `theirs` holds the secret."""

    me: Person
    mine: Api
    theirs: Api

    def steal(self, method: str, target: str, *headers: str) -> bytes:
        """The whole answer to a request of mine, whose target goes over the wire as it is. Raises where it has the secret."""
        token = f"Authorization: Bearer {self.me.token}"
        lines = [f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", token, *headers]
        received = exchanged(self.mine, ("\r\n".join(lines) + "\r\n\r\n").encode())
        assert TREASURE.encode() not in received, f"{target} tells the secret"
        assert ENCODED not in received, f"{target} tells the secret"
        return received


@pytest.fixture
def neighbours(root: Api, unique: Callable[[str], str], person: Callable[[], Person]) -> Neighbours:
    me, mine, theirs = person(), root.workspace(unique("mine")), root.workspace(unique("theirs"))
    bind(mine, me.subject, "cluster-admin", name="me")
    grant(mine, me.subject, ACCESS, name="me-too")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "treasure"}, "stringData": {"k": TREASURE}}
    theirs.create(SECRETS, secret)
    theirs.create(CONFIG_MAPS, config_map("treasure", {"k": TREASURE}))
    return Neighbours(me, mine.caller(me.token), theirs)


def name_of(root: Api, api: Api) -> str:
    """What the parent calls a workspace."""
    name: str = next(w["metadata"]["name"] for w in root.items(WORKSPACES) if w["spec"].get("cluster") == api.name)
    return name


def test_no_spelling_of_a_path_leads_there(neighbours: Neighbours, root: Api) -> None:
    mine, path = neighbours.mine.name, f"root:{name_of(root, neighbours.theirs)}"
    for theirs in (neighbours.theirs.name, path):
        for target in (
            f"/clusters/{theirs}{SECRET}",
            f"//clusters/{theirs}{SECRET}",
            f"/clusters//{theirs}{SECRET}",
            f"/clusters/{theirs}/{SECRET}",
            f"/clusters/{theirs}{SECRET}//",
            f"/clusters/{mine}/../{theirs}{SECRET}",
            f"/clusters/{mine}/..%2f{theirs}{SECRET}",
            f"/clusters/{mine}%2f..%2f{theirs}{SECRET}",
            f"/clusters/{mine}/clusters/{theirs}{SECRET}",
            f"/clusters/{mine}%2fclusters%2f{theirs}{SECRET}",
            f"/clusters/{mine}:{theirs}{SECRET}",
            f"/clusters/{mine};{theirs}{SECRET}",
            f"/clusters/{theirs};x=y{SECRET}",
            f"/Clusters/{theirs}{SECRET}",
            f"/clusters/{theirs.upper()}{SECRET}",
            f"/clusters/{theirs}%00{SECRET}",
            f"/clusters/%20{theirs}{SECRET}",
            f"/clusters/{theirs}%e2%80%8b{SECRET}",
            f"/clusters/{theirs}:{SECRET}",
            f"/%63lusters/{theirs}{SECRET}",
            f"/clusters%2f{theirs}{SECRET}",
            f"/clusters/{theirs}{NAMESPACES}/default%2fsecrets/treasure",
            f"/clusters/{theirs}/api/v1/watch/secrets?timeoutSeconds=1",
            f"/clusters/{theirs}/api/v1/watch/namespaces/default/secrets/treasure?timeoutSeconds=1",
            f"/clusters/{theirs}{SECRET}/" + "x/" * 4000,
            f"/clusters/*{SECRET}",
            "/clusters/%2a/api/v1/secrets",
            f"/ranges/root/clusters/{theirs}{SECRET}",
            f"/ranges/root/../root/clusters/{theirs}{SECRET}",
            "/ranges/root/clusters/*/api/v1/secrets",
            f"/services/../clusters/{theirs}{SECRET}",
            f"/services//clusters/{theirs}{SECRET}",
            f"/services/workspaces/{theirs}{SECRET}",
            f"/services/workspaces/root/clusters/{theirs}{SECRET}",
            f"/services/apiexport/{mine}/x/clusters/{theirs}{SECRET}",
            f"/services/apiexport/{theirs}/x/clusters/*/api/v1/secrets",
            f"/services/initializingworkspaces/{mine}:x/clusters/{theirs}{SECRET}",
            f"/services/initializingworkspaces/root:universal/clusters/{theirs}{SECRET}",
            f"https://x/clusters/{theirs}{SECRET}",
        ):
            code = neighbours.steal("GET", target).split()[1]
            assert code in (b"400", b"401", b"403", b"404", b"405", b"431"), (target, code)


@pytest.mark.parametrize(
    "headers",
    [
        ("Impersonate-User: admin", "Impersonate-Group: system:masters"),
        ("Impersonate-User: shard-admin",),
        ("Impersonate-Group: system:masters",),
        ("Impersonate-User: kcp-admin", "Impersonate-Group: system:kcp:admin"),
        ("impersonate-user: x", "Impersonate-Group: system:authenticated", "Impersonate-Group: system:masters"),
        ("Impersonate-User: x", 'Impersonate-Extra-Authorization.kcp.io%2fwarrant: {"user":"x","groups":["system:masters"]}'),
        ("Impersonate-User: x", "Impersonate-Extra-Authentication.kcp.io%2fcluster-name: root"),
        ("X-Remote-User: admin", "X-Remote-Group: system:masters"),
        ("Authorization: Bearer made-up",),
        ("X-Kcp-Internal-Deep-SubjectAccessReview: true",),
        ("X-Kubernetes-Sharded-Request: true", "X-Kubernetes-Cluster: root"),
        ("X-HTTP-Method-Override: GET",),
    ],
)
def test_no_header_makes_another_of_me(neighbours: Neighbours, headers: tuple[str, ...]) -> None:
    code = neighbours.steal("GET", f"/clusters/{neighbours.theirs.name}{SECRET}", *headers).split()[1]
    assert code in (b"400", b"401", b"403")


def test_everything_in_mine_is_nothing_in_theirs(neighbours: Neighbours) -> None:
    """Impersonation in the workspace where I may do everything stays in it, and no right of mine there is one elsewhere."""
    owner = {"Impersonate-User": "shard-admin"}
    assert neighbours.mine.status_of("GET", SECRETS, headers=owner) in (200, 403)
    assert neighbours.theirs.caller(neighbours.me.token).status_of("GET", SECRET, headers=owner) == 403
    neighbours.mine.create(SERVICE_ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}})
    bind(neighbours.mine, {"kind": "ServiceAccount", "name": "robot", "namespace": "default"}, "cluster-admin", name="robot")
    bind(neighbours.theirs, {"kind": "ServiceAccount", "name": "robot", "namespace": "default"}, "cluster-admin", name="robot")
    token = token_of(neighbours.mine, "robot")
    assert neighbours.mine.caller(token).status_of("GET", SECRETS) == 200
    assert neighbours.theirs.caller(token).status_of("GET", SECRET) == 403, "it is a robot of the same name only"
    assert neighbours.mine.caller(token_of(neighbours.mine, "robot", audiences=["elsewhere"])).status_of("GET", SECRETS) == 401
    neighbours.mine.delete(f"{SERVICE_ACCOUNTS}/robot")
    assert neighbours.mine.caller(token).status_of("GET", SECRETS) == 401
    neighbours.mine.create(SERVICE_ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}})
    assert neighbours.mine.caller(token).status_of("GET", SECRETS) == 401, "its successor is another"


def token_of(api: Api, name: str, **spec: object) -> str:
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    token: str = api.create(f"{SERVICE_ACCOUNTS}/{name}/token", request)["status"]["token"]
    return token


def test_rights_in_a_namespace_reach_no_further(neighbours: Neighbours, person: Callable[[], Person]) -> None:
    somebody = person()
    place = neighbours.theirs
    place.create(f"{NAMESPACES}", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "open"}})
    grant(place, somebody.subject, ACCESS, name="visitor")
    everything = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    rbac = f"{RBAC}/namespaces/open"
    place.create(f"{rbac}/roles", {"metadata": {"name": "all"}, "rules": everything})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "all"}
    place.create(f"{rbac}/rolebindings", {"metadata": {"name": "all"}, "subjects": [somebody.subject], "roleRef": reference})
    visitor = place.caller(somebody.token)
    assert visitor.status_of("GET", f"{NAMESPACES}/open/secrets") == 200
    for path in (
        f"{RBAC}/namespaces/open/clusterroles",
        f"{RBAC}/watch/namespaces/open/clusterroles",
        "/apis/tenancy.kcp.io/v1alpha1/namespaces/open/workspaces",
        "/apis/core.kcp.io/v1alpha1/namespaces/open/logicalclusters/cluster",
        f"{NAMESPACES}/open/namespaces",
        f"{NAMESPACES}/open/namespaces/default",
        "/api/v1/watch/namespaces/open/namespaces/default",
        f"{NAMESPACES}/open//secrets",
    ):
        assert visitor.status_of("GET", path) == 404, path
    for path in (SECRET, f"{NAMESPACES}//secrets", "/api/v1/secrets?fieldSelector=metadata.namespace%3Dopen", NAMESPACES):
        assert visitor.status_of("GET", path) == 403, path
    assert visitor.status_of("DELETE", f"{NAMESPACES}/open/namespaces/default") == 404
    role = {**reference, "kind": "ClusterRole", "name": "cluster-admin"}
    upwards = {"metadata": {"name": "up"}, "subjects": [somebody.subject], "roleRef": role}
    assert visitor.status_of("POST", f"{RBAC}/namespaces/open/clusterrolebindings", upwards) == 404
    assert visitor.status_of("POST", f"{NAMESPACES}/open/configmaps", config_map("x", namespace="default")) == 400


def test_being_let_into_a_view_is_no_right_to_be_another(neighbours: Neighbours, root: Api, person: Callable[[], Person]) -> None:
    """Everybody may enter the view of personal workspaces, and everybody sees their own."""
    other = person()
    grant(neighbours.theirs, other.subject, ACCESS, name="other")
    theirs = name_of(root, neighbours.theirs)
    view = root.at("")
    assert theirs in view.caller(other.token).names(PERSONAL)
    me = view.caller(neighbours.me.token)
    assert me.names(PERSONAL) == [name_of(root, neighbours.mine)]
    assert me.status_of("GET", PERSONAL, headers={"Impersonate-User": other.name}) == 403
    assert view.caller("").status_of("GET", PERSONAL) == 403


def test_tokens_to_go_on_with_open_nothing(neighbours: Neighbours) -> None:
    """A continue token says where to go on and not in what."""
    for number in range(4):
        neighbours.theirs.create(CONFIG_MAPS, config_map(f"c{number}", {"k": TREASURE}))
        neighbours.mine.create(CONFIG_MAPS, config_map(f"c{number}", {"k": "mine"}))
    token = neighbours.theirs.get(CONFIG_MAPS, limit=1)["metadata"]["continue"]
    said = json.loads(base64.urlsafe_b64decode(token + "=="))
    starts = ("\0", f"{neighbours.theirs.name}/default/a\0", "../\0", "~\0")
    forged = [base64.urlsafe_b64encode(json.dumps({**said, "start": start}).encode()).decode().rstrip("=") for start in starts]
    for path in (CONFIG_MAPS, "/api/v1/configmaps", SECRETS):
        for each in (token, *forged):
            found = neighbours.mine.request("GET", path, **{"continue": each})
            assert found.status in (200, 400, 410)
            assert TREASURE not in found.text
    version = neighbours.theirs.get(CONFIG_MAPS)["metadata"]["resourceVersion"]
    with neighbours.mine.watch(CONFIG_MAPS, resourceVersion=version, timeoutSeconds=1) as watch:
        assert list(watch) == []


def test_the_server_says_where_an_object_lives(neighbours: Neighbours) -> None:
    """Annotations, owners and namespaces are what a client says; the place is the URL's."""
    lie = {"kcp.io/cluster": neighbours.theirs.name}
    made = neighbours.mine.create(CONFIG_MAPS, config_map("liar", annotations=lie))
    assert provider.home(made) == neighbours.mine.name
    changed = neighbours.mine.patch(f"{CONFIG_MAPS}/liar", {"metadata": {"annotations": lie}})
    assert provider.home(changed) == neighbours.mine.name
    target = neighbours.theirs.get(f"{CONFIG_MAPS}/treasure")
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "treasure", "uid": target["metadata"]["uid"]}
    neighbours.mine.create(CONFIG_MAPS, config_map("owned", ownerReferences=[owner]))
    neighbours.mine.gone(f"{CONFIG_MAPS}/owned")
    assert neighbours.theirs.status_of("GET", f"{CONFIG_MAPS}/treasure") == 200
    refused = neighbours.mine.request("PATCH", f"{CONFIG_MAPS}/liar", {"metadata": {"uid": "x"}}, content_type=PATCHES["merge"])
    assert refused.status == 422


def test_dry_runs_leave_nothing(neighbours: Neighbours) -> None:
    place = neighbours.mine
    place.create(CONFIG_MAPS, config_map("here"))
    before = place.get(CONFIG_MAPS)
    workspace: Object = {"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": "dry"}}
    for method, path, body in (
        ("POST", CONFIG_MAPS, config_map("dry")),
        ("PUT", f"{CONFIG_MAPS}/here", config_map("here", {"a": "b"})),
        ("DELETE", f"{CONFIG_MAPS}/here", None),
        ("DELETE", CONFIG_MAPS, None),
        ("POST", WORKSPACES, workspace),
        ("POST", NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "dry"}}),
    ):
        assert place.status_of(method, path, body, dryRun="All") in (200, 201), path
    assert place.get(CONFIG_MAPS) == before
    assert place.status_of("GET", f"{WORKSPACES}/dry") == 404
    assert place.status_of("GET", f"{NAMESPACES}/dry") == 404


def test_a_provider_reaches_what_was_accepted(root: Api, unique: Callable[[str], str], person: Callable[[], Person]) -> None:
    """ConfigMaps with a label, in the workspace that accepted, by the verbs that were claimed: no others by any way."""
    owner = person()
    claim = provider.claim("", "configmaps", "get", "list", "watch", "create", "update", "patch", "delete")
    service = Provider.install(root.workspace(unique("provider")), provider.schema(), by=owner, permissionClaims=[claim])
    willing, unwilling = root.workspace(unique("willing")), root.workspace(unique("unwilling"))
    for consumer in (willing, unwilling):
        consumer.create(CONFIG_MAPS, config_map("hidden", {"k": TREASURE}))
        consumer.create(CONFIG_MAPS, config_map("shown", labels={"share": "yes"}))
    service.bind(willing, provider.answer(claim, matchLabels={"share": "yes"}))
    view, everything = service.view(willing.name), service.view()
    wait_for(lambda: view.status_of("GET", f"{CONFIG_MAPS}/shown") == 200, "the claim holds")
    hidden, labelled = f"{CONFIG_MAPS}/hidden", config_map("hidden", labels={"share": "yes"})
    for method, path, body, codes in (
        ("GET", hidden, None, (404,)),
        ("DELETE", hidden, None, (404,)),
        ("PUT", hidden, labelled, (404,)),
        ("PATCH", hidden, {"metadata": {"labels": {"share": "yes"}}}, (404,)),
        ("POST", CONFIG_MAPS, labelled, (409,)),
        ("DELETE", CONFIG_MAPS, None, (403,)),
        ("PATCH", f"{CONFIG_MAPS}/shown", {"metadata": {"labels": {"share": "no"}}}, (403,)),
        ("GET", "/api/v1/configmaps?fieldSelector=metadata.name%3Dhidden", None, (200,)),
        ("GET", SECRETS, None, (403,)),
        ("GET", "/api/v1/watch/secrets", None, (403,)),
        ("POST", f"{SERVICE_ACCOUNTS}/default/token", {}, (403,)),
        ("GET", f"/../../clusters/{willing.name}{SECRETS}", None, (403, 404)),
        ("GET", f"/clusters/{willing.name}{SECRETS}", None, (403, 404)),
    ):  # fmt: skip
        answer = view.request(method, path, body, content_type=PATCHES["merge"] if method == "PATCH" else "application/json")
        assert answer.status in codes, (method, path, answer.text)
        assert TREASURE not in answer.text, path
    assert [item["metadata"]["name"] for item in everything.items("/api/v1/configmaps")] == ["shown"]
    for path in (CONFIG_MAPS, "/apis/example.com/v1/cowboys"):
        assert service.view(unwilling.name).status_of("GET", path) == 403
    for method in ("DELETE", "POST"):
        assert everything.status_of(method, "/api/v1/configmaps", {}) in (403, 405)
    assert willing.names(CONFIG_MAPS) == unwilling.names(CONFIG_MAPS) == ["hidden", "kube-root-ca.crt", "shown"]
