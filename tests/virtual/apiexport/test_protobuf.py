"""Built-in objects that consumers let a provider see, in protobuf: it sees the same as in JSON."""

from __future__ import annotations

from tests.support.people import MASTER
from tests.support.protobuf import MEDIA_TYPE
from tests.support.tenancies import ServedShard, accepted, claim
from tests.virtual.apiexport.ranch import NEAR, SHERIFF, base, configmaps, cowboys, create, ranch
from tests.virtual.watching import Watch

EVERYWHERE = f"{base()}/api/v1/configmaps"
INSIDE = f"/clusters/{NEAR}/api/v1/namespaces/default/configmaps"


async def test_what_a_provider_sees_of_its_consumers() -> None:
    async with ServedShard() as shard:
        wanted = claim("", "configmaps", "*")
        await ranch(shard, claims=[wanted], accept=[accepted(wanted)])
        await create(shard, INSIDE, "one", MASTER)
        status, in_json = await shard.call("GET", configmaps(NEAR, "one"), SHERIFF)
        assert status == 200
        status, found = await shard.call("GET", configmaps(NEAR, "one"), SHERIFF, accept=MEDIA_TYPE)
        assert (status, found["kind"]) == (200, "ConfigMap")
        for name in ("name", "uid", "resourceVersion", "annotations"):
            assert found["metadata"][name] == in_json["metadata"][name]
        async with Watch(shard, EVERYWHERE, SHERIFF, accept=MEDIA_TYPE) as watch, Watch(shard, EVERYWHERE, SHERIFF) as other:
            assert await watch.next() == await other.next() == ("ADDED", "one")
            await create(shard, INSIDE, "two", MASTER)
            assert await watch.next() == await other.next() == ("ADDED", "two")
            assert (await shard.call("DELETE", f"{INSIDE}/one", MASTER))[0] == 200
            assert await watch.next() == await other.next() == ("DELETED", "one")
            for mine, same in zip(watch.events, other.events, strict=True):
                assert mine["object"]["metadata"]["resourceVersion"] == same["object"]["metadata"]["resourceVersion"]


async def test_types_of_the_export_have_metadata_alone() -> None:
    async with ServedShard() as shard:
        await ranch(shard)
        status, refused = await shard.call("GET", cowboys(), SHERIFF, accept=MEDIA_TYPE)
        assert (status, refused["reason"]) == (406, "NotAcceptable")
        (one, *_) = (await shard.call("GET", cowboys(NEAR), SHERIFF))[1]["items"]
        partial = f"{MEDIA_TYPE};as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
        status, found = await shard.call("GET", cowboys(NEAR, obj=one["metadata"]["name"]), SHERIFF, accept=partial)
        assert (status, found["kind"], found["metadata"]["uid"]) == (200, "PartialObjectMetadata", one["metadata"]["uid"])
