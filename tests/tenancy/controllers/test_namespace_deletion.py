"""Namespaces: what they hold from the start, and how they go."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace
from typing import Any

from tenantry.kube.objects import Object
from tenantry.storage.keys import Key
from tests.tenancy.exports_world import MASTER
from tests.tenancy.plain_world import CLUSTER, World, conditions, config_map, definition

HOLD = ["x.example/hold"]
ROOT_CA = "kube-root-ca.crt"


def namespace(name: str, **spec: Any) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} | ({"spec": spec} if spec else {})


async def made(world: World, name: str = "team", **spec: Any) -> None:
    await world.post("namespaces", namespace(name, **spec), "")
    await world.until(lambda: world.find("configmaps", ROOT_CA, name) and world.find("serviceaccounts", "default", name))


async def test_each_has_an_account_and_the_certificate_which_come_back() -> None:
    async with World() as world:
        await made(world)
        await world.delete("serviceaccounts", "default", "team")
        await world.until(lambda: world.find("serviceaccounts", "default", "team"))
        await world.delete("configmaps", ROOT_CA, "team")
        await world.until(lambda: world.find("configmaps", ROOT_CA, "team"))
        await world.patch("configmaps", ROOT_CA, {"data": {"ca.crt": "forged", "more": "x"}}, "team")
        await world.until(lambda: (world.find("configmaps", ROOT_CA, "team") or {})["data"] == {"ca.crt": "PEM"})


async def test_a_new_certificate_reaches_old_namespaces() -> None:
    async with World() as world:
        await made(world)
    async with World(store=world.store, ca_certificate="NEW") as world:
        await world.until(lambda: (world.find("configmaps", ROOT_CA, "team") or {})["data"] == {"ca.crt": "NEW"})


async def test_an_empty_one_goes_at_once() -> None:
    async with World() as world:
        await made(world)
        await world.post("customresourcedefinitions", definition("widgets", "Widget"), "")
        await world.until(lambda: conditions(world.find("customresourcedefinitions", "widgets.x.example", "")).get("Established"))
        widget = {"apiVersion": "x.example/v1", "kind": "Widget", "metadata": {"name": "w"}}
        await world.post("widgets.x.example", widget, "team")
        for number in range(60):
            await world.post("configmaps", config_map(f"c{number}"), "team")
        await world.delete("namespaces", "team", "")
        await world.gone("namespaces", "team", "")
        range_ = world.cell.range_of(CLUSTER)
        assert not [r for resource in range_.resources(CLUSTER) for r in range_.list(resource, CLUSTER, "team")]


async def test_contents_with_finalizers_hold_it_and_its_conditions_say_so() -> None:
    async with World() as world:
        await made(world)
        await world.post("configmaps", config_map("held", finalizers=HOLD), "team")
        await world.post("configmaps", config_map("free"), "team")
        await world.delete("namespaces", "team", "")
        await world.gone("configmaps", "free", "team")
        await world.until(lambda: conditions(world.find("namespaces", "team", "")))
        assert conditions(world.find("namespaces", "team", "")) == {
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
        await world.patch("configmaps", "held", {"metadata": {"finalizers": None}}, "team")
        await world.gone("namespaces", "team", "")


async def test_one_with_other_finalizers_is_emptied_and_says_so() -> None:
    async with World() as world:
        await made(world, finalizers=["x.example/mine"])
        await world.delete("namespaces", "team", "")
        await world.until(lambda: (world.find("namespaces", "team", "") or {})["spec"]["finalizers"] == ["x.example/mine"])
        reported = conditions(world.find("namespaces", "team", ""))
        assert reported["NamespaceContentRemaining"] == ("False", "ContentRemoved", "All content successfully removed")
        status, _ = await world.call("PUT", world.url("namespaces", "team/finalize", ""), MASTER, namespace("team"))
        assert status == 200
        await world.gone("namespaces", "team", "")


async def test_what_nobody_serves_any_more_goes_with_its_namespace() -> None:
    async with World() as world:
        await made(world)
        widgets = world.tenancy.definitions.get("", "configmaps")
        ghost: Object = {"metadata": {"name": "ghost", "namespace": "team", "finalizers": HOLD}}
        await world.cell.commit(
            [world.tenancy.changes.created(replace(widgets, group="x.example", plural="ghosts"), CLUSTER, ghost)]
        )
        await world.delete("namespaces", "team", "")
        await world.gone("namespaces", "team", "")
        assert world.cell.range_of(CLUSTER).get(Key(CLUSTER, "x.example/ghosts", "team", "ghost")) is None


async def test_deletion_is_taken_up_again_after_a_restart() -> None:
    async with World() as world:
        await made(world)
        await world.post("configmaps", config_map("held", finalizers=HOLD), "team")
        await world.delete("namespaces", "team", "")
        await world.until(lambda: conditions(world.find("namespaces", "team", "")))
    async with World(store=world.store) as world:
        await world.patch("configmaps", "held", {"metadata": {"finalizers": None}}, "team")
        await world.gone("namespaces", "team", "")


def token_secret(name: str = "robot-token", account: str = "robot") -> Object:
    annotations = {"kubernetes.io/service-account.name": account}
    metadata = {"name": name, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token", "metadata": metadata}


async def test_token_secrets_are_filled_and_go_with_their_account() -> None:
    async with World() as world:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}
        uid = (await world.post("serviceaccounts", account))["metadata"]["uid"]
        secret = await world.post("secrets", token_secret())
        found = await world.until(lambda: (s := world.find("secrets", "robot-token")) and s.get("data") and s)
        data = {key: b64decode(value).decode() for key, value in found["data"].items()}
        token = f"{CLUSTER}/default/robot/{uid}/{secret['metadata']['uid']}"
        assert data == {"token": token, "namespace": "default", "ca.crt": "PEM"}
        assert found["metadata"]["annotations"]["kubernetes.io/service-account.uid"] == uid
        await world.patch("secrets", "robot-token", {"data": {"namespace": "d3Jvbmc="}})
        await world.until(lambda: (world.find("secrets", "robot-token") or {})["data"] == found["data"])
        await world.delete("serviceaccounts", "robot")
        await world.gone("secrets", "robot-token")


async def test_a_token_secret_without_its_account_is_deleted() -> None:
    async with World() as world:
        await world.post("secrets", token_secret(account="nobody"))
        await world.gone("secrets", "robot-token")
