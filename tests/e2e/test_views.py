"""Virtual workspaces beside the export's: those of a type's owner, and everybody's own workspaces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.e2e.people import ACCESS, Person, bind, grant, rule
from tests.e2e.provider import COWBOYS, Provider, cowboy, home, schema
from tests.support.api import (
    API_BINDINGS,
    CONFIG_MAPS,
    LOGICAL_CLUSTER,
    RBAC,
    SECRETS,
    WORKSPACE_TYPES,
    WORKSPACES,
    Api,
    Object,
    config_map,
)
from tests.support.waiting import wait_for

pytestmark = pytest.mark.views

LOGICAL_CLUSTERS = LOGICAL_CLUSTER.rpartition("/")[0]
UNIVERSAL = {"name": "universal", "path": "root"}


def workspace_type(name: str, **spec: object) -> Object:
    return {"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "WorkspaceType", "metadata": {"name": name}, "spec": spec}


def workspace(name: str, **spec: object) -> Object:
    return {"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": name}, "spec": spec}


def phase(api: Api, name: str) -> str:
    return str(api.get(f"{WORKSPACES}/{name}").get("status", {}).get("phase"))


@dataclass
class Org:
    """A workspace with types of its own."""

    api: Api
    path: str

    def reference(self, name: str) -> Object:
        return {"name": name, "path": self.path}

    def view(self, kind: str, name: str, cluster: str = "*") -> Api:
        """The initializing or terminating view of a type."""

        def urls() -> list[str]:
            found = self.api.get(f"{WORKSPACE_TYPES}/{name}").get("status", {}).get("virtualWorkspaces") or []
            return [v["url"] for v in found if v["type"] == kind]

        (url,) = wait_for(urls, "the type lists its URL")
        return self.api.at(f"{url}/clusters/{cluster}")


@pytest.fixture
def org(root: Api, unique: Callable[[str], str]) -> Org:
    name = unique("org")
    return Org(root.workspace(name), f"root:{name}")


@pytest.fixture
def owner(org: Org, person: Callable[[], Person]) -> Person:
    """Somebody who may initialize and terminate workspaces of every type of the org."""
    someone = person()
    grant(
        org.api, someone.subject, ACCESS, rule("tenancy.kcp.io", "workspacetypes", "initialize", "terminate"), name="type-owner"
    )
    return someone


@pytest.fixture
def creator(org: Org, person: Callable[[], Person]) -> Person:
    """An ordinary user who makes workspaces in the org."""
    someone = person()
    bind(org.api, someone.subject, "cluster-admin", name="creator")
    return someone


def test_whole_life_of_an_initialized_workspace(
    org: Org, owner: Person, creator: Person, root: Api, unique: Callable[[str], str]
) -> None:
    provider_name = unique("provider")
    provider = Provider.install(root.workspace(provider_name), schema())
    grant(provider.api, creator.subject, rule("apis.kcp.io", "apiexports", "bind"), name="binders")
    org.api.create(
        WORKSPACE_TYPES, workspace_type("base", defaultAPIBindings=[{"path": f"root:{provider_name}", "export": "cowboys"}])
    )
    org.api.create(
        WORKSPACE_TYPES,
        workspace_type(
            "room",
            initializer=True,
            extend={"with": [UNIVERSAL, org.reference("base")]},
            defaultChildWorkspaceType=org.reference("desk"),
            additionalWorkspaceLabels={"kind-of": "room"},
        ),
    )
    org.api.create(WORKSPACE_TYPES, workspace_type("desk", extend={"with": [UNIVERSAL]}))
    identifier = f"{org.api.name}:room"
    everywhere = org.view("initializing", "room").caller(owner.token)
    assert [r["name"] for r in everywhere.get("/apis/core.kcp.io/v1alpha1")["resources"]] == [
        "logicalclusters",
        "logicalclusters/status",
    ]
    with everywhere.watch(LOGICAL_CLUSTERS) as watch:
        made = org.api.caller(creator.token).create(WORKSPACES, workspace("one", type=org.reference("room")))
        assert made["metadata"]["labels"]["kind-of"] == "room"
        events: Iterator[Object] = iter(watch)
        first = next(events)
        cluster = home(first["object"])
        assert first["type"] == "ADDED" and identifier in first["object"]["status"]["initializers"]
        assert [home(o) for o in everywhere.items(LOGICAL_CLUSTERS)] == [cluster]
        assert phase(org.api, "one") == "Initializing"

        # Inside, the type's owner acts as the one who made the workspace.
        inside = org.view("initializing", "room", cluster).caller(owner.token)
        assert inside.get(LOGICAL_CLUSTER)["spec"]["createdBy"]["username"] == creator.name
        inside.create(CONFIG_MAPS, config_map("welcome"))
        assert "welcome" in inside.names(CONFIG_MAPS)
        assert "rbac.authorization.k8s.io" in [g["name"] for g in inside.get("/apis")["groups"]]
        assert org.api.cluster(cluster).caller(owner.token).status_of("GET", CONFIG_MAPS) == 403

        # Only its own initializer is its to remove, and nothing else to change.
        wrong = {"status": {"initializers": ["wrong"]}}
        merge = "application/merge-patch+json"
        assert inside.status_of("PATCH", f"{LOGICAL_CLUSTER}/status", wrong, content_type=merge) == 422
        assert inside.status_of("PATCH", LOGICAL_CLUSTER, {"metadata": {"labels": {"a": "b"}}}, content_type=merge) == 405
        assert inside.status_of("DELETE", LOGICAL_CLUSTER) == 405
        left = [i for i in inside.get(LOGICAL_CLUSTER)["status"]["initializers"] if i != identifier]
        inside.patch(f"{LOGICAL_CLUSTER}/status", {"status": {"initializers": left}})
        for event in events:
            if event["type"] == "DELETED":
                break
            assert event["type"] == "MODIFIED"
    room = org.api.ready("one")
    assert room.name == cluster
    assert everywhere.items(LOGICAL_CLUSTERS) == []
    assert inside.status_of("GET", CONFIG_MAPS) == 403
    assert inside.status_of("GET", LOGICAL_CLUSTER) == 404

    mine = room.caller(creator.token)
    assert "welcome" in mine.names(CONFIG_MAPS)
    (binding,) = (b for b in mine.items(API_BINDINGS) if b["spec"]["reference"]["export"]["name"] == "cowboys")
    assert binding["status"]["phase"] == "Bound"
    mine.create(COWBOYS, cowboy("joe"))
    assert home(provider.view().items("/apis/example.com/v1/cowboys")[0]) == cluster
    # What it extends it is, and its children are of the type that it names.
    desk = mine.create(WORKSPACES, workspace("child"))
    assert desk["spec"]["type"] == org.reference("desk")
    room.ready("child")


def test_views_need_their_verb(org: Org, person: Callable[[], Person]) -> None:
    org.api.create(WORKSPACE_TYPES, workspace_type("room", initializer=True, extend={"with": [UNIVERSAL]}))
    someone = person()
    everywhere = org.view("initializing", "room").caller(someone.token)
    assert everywhere.status_of("GET", LOGICAL_CLUSTERS) == 403
    grant(org.api, someone.subject, ACCESS, rule("tenancy.kcp.io", "workspacetypes", "initialize", resourceNames=["other"]))
    assert everywhere.status_of("GET", LOGICAL_CLUSTERS) == 403
    grant(org.api, someone.subject, rule("tenancy.kcp.io", "workspacetypes", "initialize", resourceNames=["room"]), name="room")
    wait_for(lambda: everywhere.status_of("GET", LOGICAL_CLUSTERS) == 200)


def test_initializer_permissions_bound_the_content(org: Org, owner: Person) -> None:
    permissions = [rule("", "configmaps", "get", "list", "create")]
    org.api.create(
        WORKSPACE_TYPES,
        workspace_type("room", initializer=True, extend={"with": [UNIVERSAL]}, initializerPermissions=permissions),
    )
    org.api.create(WORKSPACES, workspace("one", type=org.reference("room")))
    (found,) = wait_for(lambda: org.view("initializing", "room").caller(owner.token).items(LOGICAL_CLUSTERS))
    inside = org.view("initializing", "room", home(found)).caller(owner.token)
    inside.create(CONFIG_MAPS, config_map("allowed"))
    refused = inside.request("GET", SECRETS)
    assert refused.status == 403 and "initializerPermissions" in refused.text


def test_terminator_holds_a_workspace_until_it_is_done(org: Org, owner: Person) -> None:
    org.api.create(WORKSPACE_TYPES, workspace_type("room", terminator=True, extend={"with": [UNIVERSAL]}))
    room = org.api.workspace("one", type=org.reference("room"))
    room.create(CONFIG_MAPS, config_map("content"))
    everywhere = org.view("terminating", "room").caller(owner.token)
    assert everywhere.items(LOGICAL_CLUSTERS) == []
    with everywhere.watch(LOGICAL_CLUSTERS) as watch:
        org.api.delete(f"{WORKSPACES}/one")
        event = watch.until(lambda e: e["type"] == "MODIFIED")[-1]
    assert home(event["object"]) == room.name
    inside = org.view("terminating", "room", room.name).caller(owner.token)
    assert "content" in inside.names(CONFIG_MAPS), "nothing goes before the terminator is done"
    wait_for(lambda: phase(org.api, "one") == "Terminating")
    inside.patch(f"{LOGICAL_CLUSTER}/status", {"status": {"terminators": []}})
    org.api.gone(f"{WORKSPACES}/one")


def test_limits_of_parents_and_children(org: Org) -> None:
    here = [org.reference("floor")]
    org.api.create(WORKSPACE_TYPES, workspace_type("floor", extend={"with": [UNIVERSAL]}))
    org.api.create(WORKSPACE_TYPES, workspace_type("room", extend={"with": [UNIVERSAL]}, limitAllowedParents={"types": here}))
    org.api.create(WORKSPACE_TYPES, workspace_type("leaf", extend={"with": [UNIVERSAL]}, limitAllowedChildren={"none": True}))
    room, leaf = (workspace(name, type=org.reference(name)) for name in ("room", "leaf"))
    assert org.api.status_of("POST", WORKSPACES, room) == 403
    floor = org.api.workspace("floor", type=org.reference("floor"))
    floor.workspace("room", type=org.reference("room"))
    floor.create(WORKSPACES, leaf)
    assert floor.ready("leaf").status_of("POST", WORKSPACES, workspace("child")) == 403


def test_type_must_exist_and_be_allowed(org: Org, person: Callable[[], Person]) -> None:
    assert org.api.status_of("POST", WORKSPACES, workspace("one", type=org.reference("nothing"))) == 403
    org.api.create(WORKSPACE_TYPES, workspace_type("room", extend={"with": [UNIVERSAL]}))
    someone = person()
    grant(org.api, someone.subject, ACCESS, rule("tenancy.kcp.io", "workspaces"))
    caller = org.api.caller(someone.token)
    refused = caller.request("POST", WORKSPACES, workspace("one", type=org.reference("room")))
    assert refused.status == 403 and "room" in refused.text
    grant(org.api, someone.subject, rule("tenancy.kcp.io", "workspacetypes", "use", resourceNames=["room"]), name="use")
    wait_for(lambda: caller.status_of("POST", WORKSPACES, workspace("one", type=org.reference("room"))) == 201)
    made = org.api.ready("one")
    assert made.caller(someone.token).status_of("GET", CONFIG_MAPS) == 200, "who makes a workspace owns it"


def test_personal_workspaces_follow_access(org: Org, person: Callable[[], Person]) -> None:
    ann, bob = person(), person()
    shared, private = org.api.workspace("shared"), org.api.workspace("private")
    base = f"/services/workspaces/{org.path}"
    mine, his = (org.api.at(base).caller(p.token) for p in (ann, bob))
    assert mine.items(WORKSPACES) == his.items(WORKSPACES) == []
    bind(private, ann.subject, "view", name="ann")
    bind(private, ann.subject, "system:kcp:workspace:access", name="ann-enters")
    wait_for(lambda: mine.names(WORKSPACES) == ["private"])
    with his.watch(WORKSPACES) as watch:
        events = iter(watch)
        bind(shared, bob.subject, "cluster-admin", name="bob")
        event = next(events)
        assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "shared")
        assert event["object"]["spec"]["URL"].endswith(f"{org.path}:shared")
        shared.delete(f"{RBAC}/clusterrolebindings/bob")
        event = next(events)
        assert (event["type"], event["object"]["metadata"]["name"]) == ("DELETED", "shared")
    assert his.items(WORKSPACES) == []
    assert mine.names(WORKSPACES) == ["private"]
    assert mine.get(f"{WORKSPACES}/private")["status"]["phase"] == "Ready"
    assert mine.status_of("GET", f"{WORKSPACES}/shared") == 404
    assert mine.status_of("DELETE", f"{WORKSPACES}/private") == 405
    assert org.api.at(base).caller("").status_of("GET", WORKSPACES) == 403


def test_home_workspace(root: Api, person: Callable[[], Person]) -> None:
    """`kubectl ws` without an argument asks for `~`."""
    someone = person()
    caller = root.caller(someone.token)
    path = f"{WORKSPACES}/~"
    wait_for(lambda: caller.status_of("GET", path) == 200, "the home is made on demand")
    found = caller.get(path)
    own = caller.at(found["spec"]["URL"])
    own.create(CONFIG_MAPS, config_map("mine"))
    assert "mine" in own.names(CONFIG_MAPS)
    assert root.at(own.url).caller(person().token).status_of("GET", CONFIG_MAPS) == 403
