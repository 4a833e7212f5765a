"""CustomResourceDefinitions and aggregated cluster roles."""

from __future__ import annotations

from typing import Any

from tenantry.kube.crd_approval import approval_condition
from tenantry.kube.objects import Object
from tests.tenancy.exports_world import MASTER
from tests.tenancy.plain_world import CLUSTER, RBAC, World, conditions, config_map, definition

CRDS = "customresourcedefinitions"
WIDGETS = "widgets.x.example"
HOLD = ["x.example/hold"]


def widget(name: str, **metadata: Any) -> Object:
    return {"apiVersion": "x.example/v1", "kind": "Widget", "metadata": {"name": name, **metadata}}


async def established(world: World, plural: str = "widgets", kind: str = "Widget", **names: Any) -> None:
    await world.post(CRDS, definition(plural, kind, **names), "")
    await world.until(lambda: conditions(world.find(CRDS, f"{plural}.x.example", "")).get("Established", ("",))[0] == "True")


async def test_names_are_given_to_one_and_freed_when_it_goes() -> None:
    async with World() as world:
        await established(world, shortNames=["wi"])
        await world.post(CRDS, definition("gadgets", "Widget", shortNames=["wi"]), "")
        await world.until(lambda: conditions(world.find(CRDS, "gadgets.x.example", "")))
        reported = conditions(world.find(CRDS, "gadgets.x.example", ""))
        assert reported["NamesAccepted"] == ("False", "ListKindConflict", '"WidgetList" is already in use')
        assert reported["Established"] == ("False", "NotAccepted", "not all names are accepted")
        status, _ = await world.call("GET", world.url("gadgets.x.example"), MASTER)
        assert status == 404
        await world.delete(CRDS, WIDGETS, "")
        await world.until(lambda: conditions(world.find(CRDS, "gadgets.x.example", "")).get("Established", ("",))[0] == "True")


async def test_a_short_name_that_is_let_go_is_given_to_who_waits() -> None:
    async with World() as world:
        await established(world, shortNames=["wi"])
        await world.post(CRDS, definition("gadgets", "Gadget", shortNames=["wi"]), "")
        await world.until(lambda: conditions(world.find(CRDS, "gadgets.x.example", "")).get("NamesAccepted", ("",))[0] == "False")
        await world.patch(CRDS, WIDGETS, {"spec": {"names": {"shortNames": None}}}, "")
        await world.until(lambda: conditions(world.find(CRDS, "gadgets.x.example", ""))["NamesAccepted"][0] == "True")


async def test_of_several_at_once_one_gets_the_name() -> None:
    async with World() as world:
        plurals = [f"widgets{n}" for n in range(5)]
        # In one transaction, so that all workers begin with nobody having it.
        crds = world.tenancy.definitions.get("apiextensions.k8s.io", CRDS)
        bodies = [definition(plural, "Widget", listKind="WidgetList", singular="widget") for plural in plurals]
        for body in bodies:
            body["status"] = {"acceptedNames": {"kind": "", "plural": ""}, "conditions": None, "storedVersions": ["v1"]}
            body["spec"]["conversion"] = {"strategy": "None"}
        await world.cell.commit([world.tenancy.changes.created(crds, CLUSTER, body) for body in bodies])
        await world.until(lambda: all(conditions(world.find(CRDS, f"{plural}.x.example", "")) for plural in plurals))
        accepted = [p for p in plurals if conditions(world.find(CRDS, f"{p}.x.example", ""))["NamesAccepted"][0] == "True"]
        assert len(accepted) == 1


async def test_a_definition_takes_its_objects_along() -> None:
    async with World() as world:
        await established(world)
        await world.post(WIDGETS, widget("held", finalizers=HOLD))
        await world.post(WIDGETS, widget("free"))
        await world.delete(CRDS, WIDGETS, "")
        await world.gone(WIDGETS, "free")
        await world.until(lambda: (world.find(WIDGETS, "held") or {})["metadata"].get("deletionTimestamp"))
        reported = conditions(world.find(CRDS, WIDGETS, ""))
        assert reported["Terminating"] == ("True", "InstanceDeletionInProgress", "CustomResource deletion is in progress")
        status, message = await world.refused(WIDGETS, widget("late"))
        assert (status, message.rpartition(": ")[2]) == (
            403,
            "create not allowed while custom resource definition is terminating",
        )
        await world.patch(WIDGETS, "held", {"metadata": {"finalizers": None}})
        await world.gone(CRDS, WIDGETS, "")


async def test_one_with_the_name_of_a_built_in_type_takes_nothing() -> None:
    async with World() as world:
        await world.post("leases.coordination.k8s.io", {"metadata": {"name": "kept"}, "spec": {}})
        body = definition("leases", "Lease", "coordination.k8s.io")
        body["metadata"]["annotations"] = {"api-approved.kubernetes.io": "unapproved, for a test"}
        await world.post(CRDS, body, "")
        await world.until(lambda: conditions(world.find(CRDS, "leases.coordination.k8s.io", "")))
        await world.delete(CRDS, "leases.coordination.k8s.io", "")
        await world.gone(CRDS, "leases.coordination.k8s.io", "")
        assert world.find("leases.coordination.k8s.io", "kept") is not None


async def test_groups_of_kubernetes_say_whether_they_were_approved() -> None:
    async with World() as world:
        body = definition("things", "Thing", "x.k8s.io")
        body["metadata"]["annotations"] = {"api-approved.kubernetes.io": "https://github.com/kubernetes/kubernetes/pull/1"}
        await world.post(CRDS, body, "")
        await world.until(
            lambda: conditions(world.find(CRDS, "things.x.k8s.io", "")).get("KubernetesAPIApprovalPolicyConformant")
        )
        assert conditions(world.find(CRDS, "things.x.k8s.io", ""))["KubernetesAPIApprovalPolicyConformant"] == (
            "True",
            "ApprovedAnnotation",
            "approved in https://github.com/kubernetes/kubernetes/pull/1",
        )
        assert set(conditions(world.find(CRDS, "things.x.k8s.io", ""))) == {
            "NamesAccepted",
            "Established",
            "KubernetesAPIApprovalPolicyConformant",
        }


def test_verdicts_of_approval() -> None:
    def reported(annotation: str | None) -> tuple[str, str] | None:
        body = definition("things", "Thing", "x.k8s.io")
        if annotation is not None:
            body["metadata"]["annotations"] = {"api-approved.kubernetes.io": annotation}
        found = approval_condition(body)
        return (found["status"], found["reason"]) if found is not None else None

    assert approval_condition(definition("things", "Thing")) is None
    assert reported(None) == ("False", "MissingAnnotation")
    assert reported("unapproved, soon") == ("False", "UnapprovedAnnotation")
    assert reported("no url") == ("False", "InvalidAnnotation")
    assert reported("https://x.example/1") == ("True", "ApprovedAnnotation")


async def test_cluster_roles_aggregate_what_their_selectors_find() -> None:
    def role(name: str, verb: str, **more: Any) -> Object:
        rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": [verb]}]
        return {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": name, **more}, "rules": rules}

    def verbs() -> list[str]:
        return [verb for rule in (world.find("clusterroles", "all", "") or {}).get("rules") or () for verb in rule["verbs"]]

    mark = {"x.example/part": "yes"}
    async with World() as world:
        whole = role("all", "own") | {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": mark}]}}
        await world.post("clusterroles", whole, "")
        await world.post("clusterroles", role("one", "get", labels=mark), "")
        await world.post("clusterroles", role("two", "list", labels=mark), "")
        await world.until(lambda: verbs() == ["get", "list"])
        await world.patch("clusterroles", "one", {"metadata": {"labels": None}}, "")
        await world.until(lambda: verbs() == ["list"])
        await world.delete("clusterroles", "two", "")
        await world.until(lambda: verbs() == [])
        await world.post("configmaps", config_map("x"))
