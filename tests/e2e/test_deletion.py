"""Deleting a workspace: all beneath it goes, children first, and finalizers are waited for."""

from __future__ import annotations

from collections.abc import Callable

from tests.e2e.people import Person, bind
from tests.support.api import CONFIG_MAPS, LOGICAL_CLUSTER, WORKSPACES, Api, config_map
from tests.support.waiting import wait_for

HOLD = ["example.com/hold"]


def test_all_beneath_goes(root: Api, unique: Callable[[str], str]) -> None:
    name = unique("top")
    top = root.workspace(name)
    middle = top.workspace("middle")
    leaves = [middle.workspace(f"leaf-{n}") for n in range(3)]
    for api in (top, middle, *leaves):
        api.create(CONFIG_MAPS, config_map("content"))
    root.delete(f"{WORKSPACES}/{name}")
    root.gone(f"{WORKSPACES}/{name}")
    for api in (top, middle, *leaves):
        assert api.status_of("GET", CONFIG_MAPS) in (403, 404)
        assert api.status_of("GET", LOGICAL_CLUSTER) in (403, 404)
    for path in (name, f"{name}:middle", f"{name}:middle:leaf-0"):
        assert root.cluster(f"root:{path}").status_of("GET", CONFIG_MAPS) == 404
    # The name is free for another tenant.
    assert "content" not in root.workspace(name).names(CONFIG_MAPS)


def test_children_go_first_and_a_finalizer_is_waited_for(root: Api, unique: Callable[[str], str]) -> None:
    name = unique("top")
    top = root.workspace(name)
    child = top.workspace("child")
    top.create(CONFIG_MAPS, config_map("of-top"))
    child.create(CONFIG_MAPS, config_map("held", finalizers=HOLD))
    root.delete(f"{WORKSPACES}/{name}")
    wait_for(lambda: child.get(LOGICAL_CLUSTER)["status"]["phase"] == "Deleting")
    wait_for(lambda: "deletionTimestamp" in child.get(f"{CONFIG_MAPS}/held")["metadata"])
    wait_for(
        lambda: any(
            c["type"] == "WorkspaceContentDeleted" and c["status"] == "False"
            for c in top.get(f"{WORKSPACES}/child")["status"]["conditions"]
        ),
        "the parent tells why it waits",
    )
    assert root.get(f"{WORKSPACES}/{name}")["metadata"]["deletionTimestamp"]
    child.patch(f"{CONFIG_MAPS}/held", {"metadata": {"finalizers": None}})
    root.gone(f"{WORKSPACES}/{name}")
    assert child.status_of("GET", LOGICAL_CLUSTER) in (403, 404)


def test_a_finalizer_of_the_workspace_itself_is_waited_for(root: Api, unique: Callable[[str], str]) -> None:
    name = unique("held")
    api = root.workspace(name)
    root.patch(f"{WORKSPACES}/{name}", [{"op": "add", "path": "/metadata/finalizers/-", "value": HOLD[0]}], "json")
    root.delete(f"{WORKSPACES}/{name}")
    assert api.status_of("GET", CONFIG_MAPS) == 200, "the content stays until the workspace may go"
    root.patch(f"{WORKSPACES}/{name}", {"metadata": {"finalizers": ["core.kcp.io/logicalcluster"]}})
    root.gone(f"{WORKSPACES}/{name}")


def test_watchers_see_the_content_go_and_are_let_go(root: Api, unique: Callable[[str], str]) -> None:
    name = unique("watched")
    api = root.workspace(name)
    api.create(CONFIG_MAPS, config_map("content"))
    with api.watch(CONFIG_MAPS) as watch:
        events = iter(watch)
        next(events)
        root.delete(f"{WORKSPACES}/{name}")
        seen = list(events)
    assert ("DELETED", "content") in [(e["type"], e["object"]["metadata"].get("name")) for e in seen]


def test_its_owner_does_not_delete_it_from_inside(root: Api, unique: Callable[[str], str], person: Callable[[], Person]) -> None:
    name = unique("inside")
    api = root.workspace(name)
    someone = person()
    bind(api, someone.subject, "cluster-admin", name="owner")
    assert api.caller(someone.token).status_of("DELETE", LOGICAL_CLUSTER) == 403
    assert root.get(f"{WORKSPACES}/{name}")["status"]["phase"] == "Ready"
