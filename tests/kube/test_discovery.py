"""Discovery documents of a set of APIs."""

from __future__ import annotations

from tenantry.kube import discovery
from tests.kube.definitions import APIS


def test_groups() -> None:
    names = [g["name"] for g in discovery.group_list(APIS)["groups"]]
    assert "" not in names and names[-1] == "g.example"
    group = discovery.group(APIS, "g.example")
    assert group is not None
    assert group["preferredVersion"]["version"] == "v1"
    assert [v["version"] for v in group["versions"]] == ["v1", "v1beta1"]
    assert discovery.group(APIS, "none.example") is None
    assert discovery.resource_list(APIS, "g.example", "v9") is None


def test_resources() -> None:
    listed = discovery.resource_list(APIS, "g.example", "v1")
    assert listed is not None
    by_name = {r["name"]: r for r in listed["resources"]}
    assert list(by_name) == ["cthings", "things", "things/status", "things/scale"]
    assert by_name["things/scale"]["kind"] == "Scale" and by_name["things/scale"]["group"] == "autoscaling"
    assert by_name["cthings"]["namespaced"] is False
    core = discovery.resource_list(APIS, "", "v1")
    assert core is not None and "apiVersion" not in core
    # The same value as kube-apiserver's: clients compare it.
    assert next(r for r in core["resources"] if r["name"] == "configmaps")["storageVersionHash"] == "qFsyl6wFWjQ="


def test_aggregated() -> None:
    items = {item["metadata"]["name"]: item for item in discovery.aggregated(APIS, core=False, version="v2")["items"]}
    things = next(r for r in items["g.example"]["versions"][0]["resources"] if r["resource"] == "things")
    assert things["responseKind"] == {"group": "g.example", "version": "v1", "kind": "Thing"}
    assert [s["subresource"] for s in things["subresources"]] == ["status", "scale"]
    core = discovery.aggregated(APIS, core=True, version="v2beta1")
    assert core["apiVersion"] == "apidiscovery.k8s.io/v2beta1"
    assert core["items"][0]["metadata"] == {}
