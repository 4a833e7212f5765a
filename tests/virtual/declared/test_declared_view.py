"""A declared view: what is seen, by whom, and what it looks like."""

from __future__ import annotations

import pytest

from tenantry.kube.objects import Object
from tenantry.tenancy.resources import VIRTUAL_WORKSPACES
from tenantry.virtual.declared.shown_object import FieldsHidden
from tests.support.people import MASTER, person
from tests.support.tenancies import ServedShard, accepted, claim
from tests.virtual.apiexport.ranch import SHERIFF, STRANGER, listed
from tests.virtual.declared.observatory import (
    CONFIG_MAPS,
    COWBOYS,
    FAR,
    NEAR,
    PROVIDER,
    READER,
    base,
    config_map,
    config_maps,
    cowboys,
    declare,
    observatory,
    post,
)
from tests.virtual.watching import Watch

PUBLISHED: Object = {**CONFIG_MAPS, "labelSelector": {"matchLabels": {"published": "yes"}}}


async def test_a_part_of_what_the_view_of_the_export_shows() -> None:
    async with ServedShard() as shard:
        await observatory(shard, resources=[PUBLISHED, COWBOYS])
        for cluster in (NEAR, FAR):
            await config_map(shard, f"open-{cluster}", cluster, published="yes")
            await config_map(shard, f"shut-{cluster}", cluster)
        assert await listed(shard, config_maps(), READER) == [f"open-{NEAR}"]
        assert await listed(shard, config_maps(name="range-2"), READER) == [f"open-{FAR}"]
        assert await listed(shard, config_maps(NEAR), READER) == [f"open-{NEAR}"]
        assert await listed(shard, cowboys(), READER) == [f"of-{NEAR}"]
        assert (await shard.call("GET", config_maps(NEAR, obj=f"shut-{NEAR}"), READER))[0] == 404
        status, one = await shard.call("GET", config_maps(NEAR, obj=f"open-{NEAR}"), READER)
        assert (status, one["data"], one["metadata"]["annotations"]["kcp.io/cluster"]) == (200, {"key": "secret"}, NEAR)
        status, found = await shard.call("GET", f"{base()}/api/v1", READER)
        assert [(each["name"], each["verbs"]) for each in found["resources"]] == [("configmaps", ["get", "list", "watch"])]
        assert (await shard.call("DELETE", config_maps(NEAR, obj=f"open-{NEAR}"), READER))[0] == 405
        assert (await shard.call("GET", f"{base(STRANGER)}/api/v1/configmaps", READER))[0] == 403


async def test_nothing_that_the_consumer_did_not_accept() -> None:
    async with ServedShard() as shard:
        wanted = claim("", "configmaps")
        taken = [{**accepted(wanted, matchLabels={"published": "yes"}), "verbs": ["get"]}]
        await observatory(shard, accept=taken, resources=[CONFIG_MAPS, {"resource": "secrets"}])
        await config_map(shard, "open", published="yes")
        await config_map(shard, "shut")
        assert await listed(shard, config_maps(), READER) == []
        assert (await shard.call("GET", config_maps(NEAR, obj="open"), READER))[0] == 403
        # "get" was accepted, and "*" was claimed: they have nothing in common (kcp).
        assert (await shard.call("GET", f"{base()}/api/v1/secrets", READER))[0] == 404


async def test_the_selector_of_the_claim_counts_too() -> None:
    async with ServedShard() as shard:
        wanted = claim("", "configmaps")
        await observatory(shard, accept=[accepted(wanted, matchLabels={"published": "yes"})], resources=[CONFIG_MAPS])
        await config_map(shard, "open", published="yes")
        await config_map(shard, "shut")
        assert await listed(shard, config_maps(), READER) == ["open"]


async def test_who_may_not() -> None:
    async with ServedShard() as shard:
        await observatory(shard, resources=[CONFIG_MAPS])
        answers = []
        for who in (person("nobody"), SHERIFF):
            for path in (config_maps(), config_maps(NEAR), base() + "/api", config_maps().replace("/shown/", "/missing/")):
                status, answer = await shard.call("GET", path, who)
                answers.append((status, answer["message"].rpartition(": ")[2]))
        assert {status for status, _ in answers} == {403}
        assert (await shard.call("GET", config_maps().replace("/shown/", "/missing/"), MASTER))[0] == 404


async def test_the_author_hands_on_only_what_it_may_do() -> None:
    async with ServedShard() as shard:
        await observatory(shard)
        author = person("author")
        await shard.role(
            PROVIDER,
            "author",
            {"nonResourceURLs": ["/"], "verbs": ["access"]},
            {"apiGroups": ["views.tenantry.dev"], "resources": ["virtualworkspaces"], "verbs": ["*"]},
        )
        await shard.bind_role(PROVIDER, "author", "author", author.name)
        status, answer = await post(shard, who=author, resources=[CONFIG_MAPS])
        assert status == 403 and 'get, list, watch on apiexports/content of "cowboys"' in answer["message"], answer
        await shard.role(
            PROVIDER,
            "content",
            {"apiGroups": ["apis.kcp.io"], "resources": ["apiexports/content"], "verbs": ["get", "list", "watch"]},
        )
        await shard.bind_role(PROVIDER, "content", "content", author.name)
        assert (await post(shard, who=author, resources=[CONFIG_MAPS]))[0] == 201
        status, answer = await post(shard, "more", author, resources=[{**CONFIG_MAPS, "verbs": ["get", "delete"]}])
        assert status == 403 and "currently held: delete on" in answer["message"], answer


async def test_status() -> None:
    async with ServedShard() as shard:
        await observatory(shard)
        found = await declare(shard, resources=[CONFIG_MAPS])
        conditions = {each["type"]: each["status"] for each in found["status"]["conditions"]}
        assert conditions == {"Valid": "True", "VirtualWorkspaceURLsReady": "True"}
        urls = [each["url"] for each in found["status"]["endpoints"]]
        assert [url.partition("6443")[2] for url in urls] == [
            f"/ranges/{name}/services/virtualworkspaces/{PROVIDER}/shown" for name in ("range-2", "root")
        ]
        binding = f"/clusters/{FAR}/apis/apis.kcp.io/v1alpha2/apibindings/cowboys"
        assert (await shard.call("DELETE", binding, MASTER))[0] == 200
        await shard.until(lambda: len(_status(shard)["endpoints"]) == 1)

        other = await declare(shard, "other", resources=[{"resource": "secrets"}])
        [valid] = [each for each in other["status"]["conditions"] if each["type"] == "Valid"]
        assert (valid["status"], valid["reason"]) == ("False", "ResourceNotExported")
        assert "secrets" in valid["message"]
        nothing = await shard.call(
            "POST",
            f"/clusters/{NEAR}/apis/views.tenantry.dev/v1alpha1/virtualworkspaces",
            MASTER,
            {
                "apiVersion": "views.tenantry.dev/v1alpha1",
                "kind": "VirtualWorkspace",
                "metadata": {"name": "none"},
                "spec": {"export": {"name": "missing"}},
            },
        )
        assert nothing[0] == 201, nothing
        made = await shard.until(lambda: (shard.get(NEAR, VIRTUAL_WORKSPACES, "none") or {}).get("status"))
        assert {each["reason"] for each in made["conditions"]} == {"APIExportNotFound", "NotValid"}


def _status(shard: ServedShard) -> Object:
    found = shard.get(PROVIDER, VIRTUAL_WORKSPACES, "shown")
    assert found is not None
    status: Object = found["status"]
    return status


async def test_an_expression_shows_what_it_makes_and_nothing_else() -> None:
    async with ServedShard() as shard:
        show = "{'keys': object.data.map(k, k), 'home': cluster.name, 'metadata': {'annotations': {'a': 'b'}, 'name': 'other'}}"
        await observatory(shard, resources=[{**CONFIG_MAPS, "show": show}])
        await config_map(shard, "one", published="yes")
        path = config_maps(NEAR, obj="one")
        status, one = await shard.call("GET", path, READER)
        assert status == 200
        metadata = one.pop("metadata")
        assert one == {"apiVersion": "v1", "kind": "ConfigMap", "keys": ["key"], "home": NEAR}
        assert (metadata["name"], metadata["labels"]["published"]) == ("one", "yes")
        assert metadata["annotations"] == {"a": "b", "kcp.io/cluster": NEAR}
        assert "managedFields" not in metadata
        for accept in (
            "application/yaml",
            "application/json;as=Table;g=meta.k8s.io;v=v1",
            "application/vnd.kubernetes.protobuf,*/*",
        ):
            for each, query in ((path, ""), (config_maps(), ""), (path, "pretty=true"), (config_maps(), "limit=1")):
                status, answer = await shard.call("GET", each, READER, query=query, accept=accept)
                assert status == 200 and "secret" not in str(answer), answer
        status, answer = await shard.call("GET", path, READER, accept="application/vnd.kubernetes.protobuf")
        assert status == 406
        async with Watch(shard, config_maps(), READER) as watch:
            assert await watch.next() == ("ADDED", "one")
            await config_map(shard, "two")
            assert await watch.next() == ("ADDED", "two")
            assert "secret" not in str(watch.events)
        status, document = await shard.call("GET", f"{base()}/openapi/v3/api/v1", READER)
        schema = document["components"]["schemas"]
        assert any(each.get("x-kubernetes-preserve-unknown-fields") for each in schema.values())


async def test_hidden_fields() -> None:
    async with ServedShard() as shard:
        await observatory(shard, resources=[{**CONFIG_MAPS, "hiddenFields": ["data.key"]}])
        await config_map(shard, "one", data={"key": "secret", "other": "open"})
        status, one = await shard.call("GET", config_maps(NEAR, obj="one"), READER)
        assert (status, one["data"], "secret" in str(one)) == (200, {"other": "open"}, False)


async def test_a_hidden_field_may_have_dots_in_its_name() -> None:
    """As `tls.key` in the data of a Secret."""
    async with ServedShard() as shard:
        await observatory(shard, resources=[{**CONFIG_MAPS, "hiddenFields": ["data.tls.key"]}])
        await config_map(shard, "one", data={"tls.key": "secret", "tls.crt": "open", "tls": "short"})
        status, one = await shard.call("GET", config_maps(NEAR, obj="one"), READER)
        assert (status, one["data"]) == (200, {"tls.crt": "open", "tls": "short"})


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ({"a": {"b": {"c": 1, "d": 2}}}, {"a": {"b": {"d": 2}}}),
        ({"a.b": {"c": 1, "d": 2}, "a.b.c": 3, "a": 4}, {"a.b": {"d": 2}, "a": 4}),
        ({"a": [{"b.c": 1}, [{"b": {"c": 2}}], 5]}, {"a": [{}, [{"b": {}}], 5]}),
        ({"a": None, "b": {"c": 1}}, {"a": None, "b": {"c": 1}}),
    ],
)
def test_hidden_paths(value: Object, left: Object) -> None:
    shown = FieldsHidden((("a", "b", "c"),))({**value, "metadata": {}})
    shown.pop("metadata")
    assert shown == left


@pytest.mark.parametrize(
    ("show", "problem"),
    [
        ("{'a': object.nothing}", "fails"),
        ("{'a': [int(object.data.key)]}", "fails"),
        ("object.data.key == 'x' ? {'a': 1} : object.data.key", "no object"),
        (
            "{'a': [1,2,3,4,5,6,7,8,9].map(a, [1,2,3,4,5,6,7,8,9].map(b, [1,2,3,4,5,6,7,8,9].map(c, object.data.key + 'x')))}",
            "costs",
        ),
    ],
)
async def test_an_object_that_cannot_be_shown(show: str, problem: str) -> None:
    async with ServedShard() as shard:
        await observatory(shard, resources=[{**CONFIG_MAPS, "show": show}])
        await config_map(shard, "one")
        status, found = await shard.call("GET", config_maps(), READER)
        assert status == 200
        [one] = found["items"]
        assert problem in one["metadata"]["annotations"]["views.tenantry.dev/problem"]
        assert set(one) == {"apiVersion", "kind", "metadata"} and "secret" not in str(one)


async def test_a_filter() -> None:
    async with ServedShard() as shard:
        mine = {**CONFIG_MAPS, "filter": "object.data.owner == user.name || user.groups.exists(g, g == 'auditors')"}
        await observatory(shard, resources=[mine])
        await config_map(shard, "mine", data={"owner": "reader"})
        await config_map(shard, "others", data={"owner": "somebody"})
        await config_map(shard, "nobodys", data={"key": "x"})
        assert await listed(shard, config_maps(), READER) == ["mine"]
        auditor = person("reader", "auditors")
        assert await listed(shard, config_maps(), auditor) == ["mine", "nobodys", "others"]
        assert (await shard.call("GET", config_maps(NEAR, obj="others"), READER))[0] == 404


async def test_access_by_expression() -> None:
    async with ServedShard() as shard:
        rule = "'guests' in user.groups && request.verb in ['get', 'list'] && request.resource in ['', 'configmaps']"
        await observatory(shard, access={"expression": rule}, resources=[CONFIG_MAPS, COWBOYS])
        await config_map(shard, "one")
        guest = person("guest", "guests")
        assert await listed(shard, config_maps(), guest) == ["one"]
        assert (await shard.call("GET", config_maps(), guest, query="watch=true"))[0] == 403
        assert (await shard.call("GET", cowboys(), guest))[0] == 403
        assert (await shard.call("GET", f"{base()}/api/v1", guest))[0] == 200
        # RBAC does not decide in its place.
        assert (await shard.call("GET", config_maps(), READER))[0] == 403
