"""CustomResourceDefinitions and aggregated cluster roles."""

from __future__ import annotations

from typing import Any

from tenantry.kube.crd_approval import approval_condition
from tenantry.kube.objects import Object
from tests.support.clusters import CLUSTER, RBAC, ServedCluster, conditions, config_map, definition
from tests.support.people import MASTER

CRDS = "customresourcedefinitions"
WIDGETS = "widgets.x.example"
HOLD = ["x.example/hold"]


def widget(name: str, **metadata: Any) -> Object:
    return {"apiVersion": "x.example/v1", "kind": "Widget", "metadata": {"name": name, **metadata}}


async def established(shard: ServedCluster, plural: str = "widgets", kind: str = "Widget", **names: Any) -> None:
    await shard.post(CRDS, definition(plural, kind, **names), "")
    await shard.until(lambda: conditions(shard.find(CRDS, f"{plural}.x.example", "")).get("Established", ("",))[0] == "True")


async def test_names_are_given_to_one_and_freed_when_it_goes() -> None:
    async with ServedCluster() as shard:
        await established(shard, shortNames=["wi"])
        await shard.post(CRDS, definition("gadgets", "Widget", shortNames=["wi"]), "")
        await shard.until(lambda: conditions(shard.find(CRDS, "gadgets.x.example", "")))
        reported = conditions(shard.find(CRDS, "gadgets.x.example", ""))
        assert reported["NamesAccepted"] == ("False", "ListKindConflict", '"WidgetList" is already in use')
        assert reported["Established"] == ("False", "NotAccepted", "not all names are accepted")
        status, _ = await shard.call("GET", shard.url("gadgets.x.example"), MASTER)
        assert status == 404
        await shard.delete(CRDS, WIDGETS, "")
        await shard.until(lambda: conditions(shard.find(CRDS, "gadgets.x.example", "")).get("Established", ("",))[0] == "True")


async def test_a_short_name_that_is_let_go_is_given_to_who_waits() -> None:
    async with ServedCluster() as shard:
        await established(shard, shortNames=["wi"])
        await shard.post(CRDS, definition("gadgets", "Gadget", shortNames=["wi"]), "")
        await shard.until(lambda: conditions(shard.find(CRDS, "gadgets.x.example", "")).get("NamesAccepted", ("",))[0] == "False")
        await shard.patch(CRDS, WIDGETS, {"spec": {"names": {"shortNames": None}}}, "")
        await shard.until(lambda: conditions(shard.find(CRDS, "gadgets.x.example", ""))["NamesAccepted"][0] == "True")


async def test_of_several_at_once_one_gets_the_name() -> None:
    async with ServedCluster() as shard:
        plurals = [f"widgets{n}" for n in range(5)]
        # In one transaction, so that all workers begin with nobody having it.
        crds = shard.tenancy.definitions.get("apiextensions.k8s.io", CRDS)
        bodies = [definition(plural, "Widget", listKind="WidgetList", singular="widget") for plural in plurals]
        for body in bodies:
            body["status"] = {"acceptedNames": {"kind": "", "plural": ""}, "conditions": None, "storedVersions": ["v1"]}
            body["spec"]["conversion"] = {"strategy": "None"}
        await shard.cell.commit([shard.tenancy.changes.created(crds, CLUSTER, body) for body in bodies])
        await shard.until(lambda: all(conditions(shard.find(CRDS, f"{plural}.x.example", "")) for plural in plurals))
        accepted = [p for p in plurals if conditions(shard.find(CRDS, f"{p}.x.example", ""))["NamesAccepted"][0] == "True"]
        assert len(accepted) == 1


async def test_a_definition_takes_its_objects_along() -> None:
    async with ServedCluster() as shard:
        await established(shard)
        await shard.post(WIDGETS, widget("held", finalizers=HOLD))
        await shard.post(WIDGETS, widget("free"))
        await shard.delete(CRDS, WIDGETS, "")
        await shard.gone(WIDGETS, "free")
        await shard.until(lambda: (shard.find(WIDGETS, "held") or {})["metadata"].get("deletionTimestamp"))
        reported = conditions(shard.find(CRDS, WIDGETS, ""))
        assert reported["Terminating"] == ("True", "InstanceDeletionInProgress", "CustomResource deletion is in progress")
        status, message = await shard.refused(WIDGETS, widget("late"))
        assert (status, message.rpartition(": ")[2]) == (
            403,
            "create not allowed while custom resource definition is terminating",
        )
        await shard.patch(WIDGETS, "held", {"metadata": {"finalizers": None}})
        await shard.gone(CRDS, WIDGETS, "")


async def test_one_with_the_name_of_a_built_in_type_takes_nothing() -> None:
    async with ServedCluster() as shard:
        await shard.post("leases.coordination.k8s.io", {"metadata": {"name": "kept"}, "spec": {}})
        body = definition("leases", "Lease", "coordination.k8s.io")
        body["metadata"]["annotations"] = {"api-approved.kubernetes.io": "unapproved, for a test"}
        await shard.post(CRDS, body, "")
        await shard.until(lambda: conditions(shard.find(CRDS, "leases.coordination.k8s.io", "")))
        await shard.delete(CRDS, "leases.coordination.k8s.io", "")
        await shard.gone(CRDS, "leases.coordination.k8s.io", "")
        assert shard.find("leases.coordination.k8s.io", "kept") is not None


async def test_groups_of_kubernetes_say_whether_they_were_approved() -> None:
    async with ServedCluster() as shard:
        body = definition("things", "Thing", "x.k8s.io")
        body["metadata"]["annotations"] = {"api-approved.kubernetes.io": "https://github.com/kubernetes/kubernetes/pull/1"}
        await shard.post(CRDS, body, "")
        await shard.until(
            lambda: conditions(shard.find(CRDS, "things.x.k8s.io", "")).get("KubernetesAPIApprovalPolicyConformant")
        )
        assert conditions(shard.find(CRDS, "things.x.k8s.io", ""))["KubernetesAPIApprovalPolicyConformant"] == (
            "True",
            "ApprovedAnnotation",
            "approved in https://github.com/kubernetes/kubernetes/pull/1",
        )
        assert set(conditions(shard.find(CRDS, "things.x.k8s.io", ""))) == {
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
        return [verb for rule in (shard.find("clusterroles", "all", "") or {}).get("rules") or () for verb in rule["verbs"]]

    mark = {"x.example/part": "yes"}
    async with ServedCluster() as shard:
        whole = role("all", "own") | {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": mark}]}}
        await shard.post("clusterroles", whole, "")
        await shard.post("clusterroles", role("one", "get", labels=mark), "")
        await shard.post("clusterroles", role("two", "list", labels=mark), "")
        await shard.until(lambda: verbs() == ["get", "list"])
        await shard.patch("clusterroles", "one", {"metadata": {"labels": None}}, "")
        await shard.until(lambda: verbs() == ["list"])
        await shard.delete("clusterroles", "two", "")
        await shard.until(lambda: verbs() == [])
        await shard.post("configmaps", config_map("x"))
