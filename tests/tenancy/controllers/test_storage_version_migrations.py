"""StorageVersionMigrations: what is stored in another shape is written again, and what is not stays as it is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tenantry.kube.objects import Object
from tenantry.kube.types.conditions import is_true
from tenantry.tenancy.controllers import storage_version_migrations
from tests.support.clusters import CLUSTER, ServedCluster, config_map
from tests.support.people import MASTER

MIGRATIONS = "storageversionmigrations"
MERGE = {"content_type": "application/merge-patch+json"}


def migration(plural: str, group: str = "") -> Object:
    return {"metadata": {"name": "m"}, "spec": {"resource": {"group": group, "resource": plural}}}


def conditions(shard: ServedCluster) -> list[Object]:
    found = shard.find(f"{MIGRATIONS}.storagemigration.k8s.io", "m", "")
    return list(((found or {}).get("status") or {}).get("conditions") or ())


async def ended(shard: ServedCluster, name: str) -> Object:
    await shard.until(lambda: is_true(conditions(shard), name))
    return next(each for each in conditions(shard) if each["type"] == name)


def definition(*versions: tuple[str, str]) -> Object:
    """A type with versions (name, field); the last is stored."""
    made = [
        {
            "name": name,
            "served": True,
            "storage": index == len(versions) - 1,
            "schema": {
                "openAPIV3Schema": {
                    "type": "object",
                    "properties": {"spec": {"type": "object", "properties": {field: {"type": "string"}}}},
                }
            },
        }
        for index, (name, field) in enumerate(versions)
    ]
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    spec = {"group": "a.example", "scope": "Namespaced", "names": names, "versions": made}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.a.example"},
        "spec": spec,
    }


async def test_what_is_stored_as_it_should_be_is_not_written() -> None:
    async with ServedCluster() as shard:
        before = (await shard.post("configmaps", config_map("x")))["metadata"]["resourceVersion"]
        await shard.post(MIGRATIONS, migration("configmaps"), "")
        done = await ended(shard, "Succeeded")
        assert (done["reason"], done["message"]) == ("StorageVersionMigrationSucceeded", "Migration completed")
        found = shard.find(f"{MIGRATIONS}.storagemigration.k8s.io", "m", "")
        assert found is not None and int(found["status"]["resourceVersion"]) >= int(before)
        running = next(each for each in conditions(shard) if each["type"] == "Running")
        assert (running["reason"], running["message"]) == (
            "MigrationRunning",
            "The migration is running, 2 objects verified migrated",
        )
        status, answer = await shard.call("GET", shard.url("configmaps", "x"), MASTER)
        assert status == 200 and answer["metadata"]["resourceVersion"] == before


async def things_of_an_old_shape(shard: ServedCluster, cluster: str, count: int = 1) -> None:
    """Things whose field the stored version of their type does not have any more."""
    path = shard.url("customresourcedefinitions", namespace="", cluster=cluster)
    assert (await shard.call("POST", path, MASTER, definition(("v1", "old"))))[0] == 201
    things = f"/clusters/{cluster}/apis/a.example/v1/namespaces/default/things"
    for number in range(count):
        thing = {"apiVersion": "a.example/v1", "kind": "Thing", "metadata": {"name": f"x{number}"}, "spec": {"old": "o"}}
        while (await shard.call("POST", things, MASTER, thing))[0] not in (201, 409):
            await shard.idle()
    new: Any = definition(("v1", "old"), ("v2", "new"))["spec"]["versions"]
    path = shard.url("customresourcedefinitions", "things.a.example", "", cluster=cluster)
    assert (await shard.call("PATCH", path, MASTER, {"spec": {"versions": new}}, **MERGE))[0] == 200
    await shard.idle()


async def test_objects_get_the_shape_of_the_stored_version() -> None:
    async with ServedCluster() as shard:
        await things_of_an_old_shape(shard, CLUSTER)
        first = shard.get(CLUSTER, "a.example/things", "x0", "default")
        assert first is not None and first["spec"] == {"old": "o"}
        await shard.post(MIGRATIONS, migration("things", "a.example"), "")
        await ended(shard, "Succeeded")
        again = shard.get(CLUSTER, "a.example/things", "x0", "default")
        assert again is not None and again["spec"] == {}
        assert again["metadata"]["uid"] == first["metadata"]["uid"]


async def test_a_type_that_is_not_there_is_waited_for_and_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ServedCluster() as shard:
        await shard.post(MIGRATIONS, migration("nothings", "no.example"), "")
        await shard.idle()
        assert conditions(shard) == []
        monkeypatch.setattr(storage_version_migrations, "_PATIENCE", timedelta(0))
        path = shard.url(MIGRATIONS, "m", "")
        assert (await shard.call("PATCH", path, MASTER, {"metadata": {"labels": {"a": "b"}}}, **MERGE))[0] == 200
        failed = await ended(shard, "Failed")
        assert (failed["reason"], failed["message"]) == ("StorageVersionMigrationFailed", "resource does not exist in discovery")


async def test_reviews_are_not_migrated() -> None:
    async with ServedCluster() as shard:
        await shard.post(MIGRATIONS, migration("tokenreviews", "authentication.k8s.io"), "")
        assert (await ended(shard, "Failed"))["message"] == "tokenreviews.authentication.k8s.io is not stored"


@pytest.mark.parametrize("digits", [19, 20, 5000])
async def test_a_version_beyond_all_others_is_one(monkeypatch: pytest.MonkeyPatch, digits: int) -> None:
    monkeypatch.setattr(storage_version_migrations, "_PAUSE_SECONDS", 0.01)
    async with ServedCluster() as shard:
        await shard.post(MIGRATIONS, migration("things", "a.example"), "")
        path = shard.url(MIGRATIONS, "m", "")
        status = {"status": {"resourceVersion": "9" * digits}}
        assert (await shard.call("PATCH", f"{path}/status", MASTER, status, **MERGE))[0] == 200
        await shard.post("customresourcedefinitions", definition(("v1", "old")), "")
        await ended(shard, "Succeeded")


async def test_large_migrations_do_not_hold_up_those_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """More clusters than there are workers have large ones."""
    monkeypatch.setattr(storage_version_migrations, "PIECE_SECONDS", 0.0)
    others = [f"rlarge{number}000000000" for number in range(5)]
    async with ServedCluster() as shard:
        for cluster in others:
            await shard.cluster(cluster, owner="ada")
            await shard.namespace(cluster, "default")
            await things_of_an_old_shape(shard, cluster, 50)
        for cluster in others:
            path = shard.url(MIGRATIONS, namespace="", cluster=cluster)
            assert (await shard.call("POST", path, MASTER, migration("things", "a.example")))[0] == 201
        await shard.post(MIGRATIONS, migration("configmaps"), "")
        await ended(shard, "Succeeded")

        def succeeded(cluster: str) -> bool:
            found = shard.get(cluster, f"storagemigration.k8s.io/{MIGRATIONS}", "m")
            return is_true(((found or {}).get("status") or {}).get("conditions"), "Succeeded")

        assert not any(map(succeeded, others))
        await shard.until(lambda: all(map(succeeded, others)))


async def test_migrations_of_a_cluster_run_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_version_migrations, "PIECE_SECONDS", 0.0)
    async with ServedCluster() as shard:
        for number in range(20):
            await shard.post("configmaps", config_map(f"x{number}"))
        names = [f"m{number}" for number in range(5)]
        for name in names:
            await shard.post(MIGRATIONS, migration("configmaps") | {"metadata": {"name": name}}, "")

        def of(name: str) -> list[Object]:
            found = shard.find(f"{MIGRATIONS}.storagemigration.k8s.io", name, "")
            return list(((found or {}).get("status") or {}).get("conditions") or ())

        def running() -> int:
            return sum(bool(of(name)) and not is_true(of(name), "Succeeded") for name in names)

        most = 0

        def done() -> bool:
            nonlocal most
            most = max(most, running())
            return all(is_true(of(name), "Succeeded") for name in names)

        await shard.until(done)
        assert most == 1
