"""Namespaces: what they hold from the start, and how they go."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace
from typing import Any

from tenantry.kube.objects import Object
from tenantry.storage.keys import Key
from tests.support.clusters import CLUSTER, ServedCluster, conditions, config_map, definition
from tests.support.people import MASTER

HOLD = ["x.example/hold"]
ROOT_CA = "kube-root-ca.crt"


def namespace(name: str, **spec: Any) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} | ({"spec": spec} if spec else {})


async def made(shard: ServedCluster, name: str = "team", **spec: Any) -> None:
    await shard.post("namespaces", namespace(name, **spec), "")
    await shard.until(lambda: shard.find("configmaps", ROOT_CA, name) and shard.find("serviceaccounts", "default", name))


async def test_each_has_an_account_and_the_certificate_which_come_back() -> None:
    async with ServedCluster() as shard:
        await made(shard)
        await shard.delete("serviceaccounts", "default", "team")
        await shard.until(lambda: shard.find("serviceaccounts", "default", "team"))
        await shard.delete("configmaps", ROOT_CA, "team")
        await shard.until(lambda: shard.find("configmaps", ROOT_CA, "team"))
        await shard.patch("configmaps", ROOT_CA, {"data": {"ca.crt": "forged", "more": "x"}}, "team")
        await shard.until(lambda: (shard.find("configmaps", ROOT_CA, "team") or {})["data"] == {"ca.crt": "PEM"})


async def test_a_new_certificate_reaches_old_namespaces() -> None:
    async with ServedCluster() as shard:
        await made(shard)
    async with ServedCluster(store=shard.store, ca_certificate="NEW") as shard:
        await shard.until(lambda: (shard.find("configmaps", ROOT_CA, "team") or {})["data"] == {"ca.crt": "NEW"})


async def test_an_empty_one_goes_at_once() -> None:
    async with ServedCluster() as shard:
        await made(shard)
        await shard.post("customresourcedefinitions", definition("widgets", "Widget"), "")
        await shard.until(lambda: conditions(shard.find("customresourcedefinitions", "widgets.x.example", "")).get("Established"))
        widget = {"apiVersion": "x.example/v1", "kind": "Widget", "metadata": {"name": "w"}}
        await shard.post("widgets.x.example", widget, "team")
        for number in range(60):
            await shard.post("configmaps", config_map(f"c{number}"), "team")
        await shard.delete("namespaces", "team", "")
        await shard.gone("namespaces", "team", "")
        range_ = shard.cell.range_of(CLUSTER)
        assert not [r for resource in range_.resources(CLUSTER) for r in range_.list(resource, CLUSTER, "team")]


async def test_contents_with_finalizers_hold_it_and_its_conditions_say_so() -> None:
    async with ServedCluster() as shard:
        await made(shard)
        await shard.post("configmaps", config_map("held", finalizers=HOLD), "team")
        await shard.post("configmaps", config_map("free"), "team")
        await shard.delete("namespaces", "team", "")
        await shard.gone("configmaps", "free", "team")
        await shard.until(lambda: conditions(shard.find("namespaces", "team", "")))
        assert conditions(shard.find("namespaces", "team", "")) == {
            "NamespaceDeletionDiscoveryFailure": (
                "False",
                "ResourcesDiscovered",
                "All resources successfully discovered",
            ),
            "NamespaceDeletionGroupVersionParsingFailure": (
                "False",
                "ParsedGroupVersions",
                "All legacy kube types successfully parsed",
            ),
            "NamespaceDeletionContentFailure": (
                "False",
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            ),
            "NamespaceContentRemaining": (
                "True",
                "SomeResourcesRemain",
                "Some resources are remaining: configmaps. has 1 resource instances",
            ),
            "NamespaceFinalizersRemaining": (
                "True",
                "SomeFinalizersRemain",
                "Some content in the namespace has finalizers remaining: x.example/hold in 1 resource instances",
            ),
        }
        await shard.patch("configmaps", "held", {"metadata": {"finalizers": None}}, "team")
        await shard.gone("namespaces", "team", "")


async def test_one_with_other_finalizers_is_emptied_and_says_so() -> None:
    async with ServedCluster() as shard:
        await made(shard, finalizers=["x.example/mine"])
        await shard.delete("namespaces", "team", "")
        await shard.until(lambda: (shard.find("namespaces", "team", "") or {})["spec"]["finalizers"] == ["x.example/mine"])
        reported = conditions(shard.find("namespaces", "team", ""))
        assert reported["NamespaceContentRemaining"] == ("False", "ContentRemoved", "All content successfully removed")
        status, _ = await shard.call("PUT", shard.url("namespaces", "team/finalize", ""), MASTER, namespace("team"))
        assert status == 200
        await shard.gone("namespaces", "team", "")


async def test_what_nobody_serves_any_more_goes_with_its_namespace() -> None:
    async with ServedCluster() as shard:
        await made(shard)
        widgets = shard.tenancy.definitions.get("", "configmaps")
        ghost: Object = {"metadata": {"name": "ghost", "namespace": "team", "finalizers": HOLD}}
        await shard.cell.commit(
            [shard.tenancy.changes.created(replace(widgets, group="x.example", plural="ghosts"), CLUSTER, ghost)]
        )
        await shard.delete("namespaces", "team", "")
        await shard.gone("namespaces", "team", "")
        assert shard.cell.range_of(CLUSTER).get(Key(CLUSTER, "x.example/ghosts", "team", "ghost")) is None


async def test_deletion_is_taken_up_again_after_a_restart() -> None:
    async with ServedCluster() as shard:
        await made(shard)
        await shard.post("configmaps", config_map("held", finalizers=HOLD), "team")
        await shard.delete("namespaces", "team", "")
        await shard.until(lambda: conditions(shard.find("namespaces", "team", "")))
    async with ServedCluster(store=shard.store) as shard:
        await shard.patch("configmaps", "held", {"metadata": {"finalizers": None}}, "team")
        await shard.gone("namespaces", "team", "")


def token_secret(name: str = "robot-token", account: str = "robot") -> Object:
    annotations = {"kubernetes.io/service-account.name": account}
    metadata = {"name": name, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token", "metadata": metadata}


async def test_token_secrets_are_filled_and_go_with_their_account() -> None:
    async with ServedCluster() as shard:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}
        uid = (await shard.post("serviceaccounts", account))["metadata"]["uid"]
        secret = await shard.post("secrets", token_secret())
        found = await shard.until(lambda: (s := shard.find("secrets", "robot-token")) and s.get("data") and s)
        data = {key: b64decode(value).decode() for key, value in found["data"].items()}
        token = f"{CLUSTER}/default/robot/{uid}/{secret['metadata']['uid']}"
        assert data == {"token": token, "namespace": "default", "ca.crt": "PEM"}
        assert found["metadata"]["annotations"]["kubernetes.io/service-account.uid"] == uid
        await shard.patch("secrets", "robot-token", {"data": {"namespace": "d3Jvbmc="}})
        await shard.until(lambda: (shard.find("secrets", "robot-token") or {})["data"] == found["data"])
        await shard.delete("serviceaccounts", "robot")
        await shard.gone("secrets", "robot-token")


async def test_a_token_secret_without_its_account_is_deleted() -> None:
    async with ServedCluster() as shard:
        await shard.post("secrets", token_secret(account="nobody"))
        await shard.gone("secrets", "robot-token")
