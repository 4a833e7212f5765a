"""Who may see the schemas of a consumer, what is refused and how, and what discovery says."""

from __future__ import annotations

import pytest

from tenantry.apiserver.user import ANONYMOUS, UNAUTHENTICATED_GROUP, User
from tenantry.kube.objects import Object
from tenantry.storage.keys import Key
from tenantry.tenancy.resources import API_BINDINGS, API_EXPORTS
from tests.support.people import MASTER, person
from tests.virtual.apiresourceschema.town import ACCESS, CONSUMER, GET_BINDINGS, NEIGHBOUR, PROVIDER, READER, SCHEMAS, base, town

LISTS_BINDINGS: Object = {**GET_BINDINGS, "verbs": ["list", "watch"]}
READS_SCHEMAS: Object = {**GET_BINDINGS, "resources": ["apiresourceschemas"], "verbs": ["*"]}
PEOPLE = {
    "only access": (ACCESS,),
    "no access": (GET_BINDINGS,),
    "lists bindings": (ACCESS, LISTS_BINDINGS),
    "reads schemas in the workspace": (ACCESS, READS_SCHEMAS),
    "stranger": (),
    "may all": (ACCESS, GET_BINDINGS),
}
DISCOVERY = ("/api", "/apis", "/apis/apis.kcp.io", "/apis/apis.kcp.io/v1alpha1", "/openapi/v3", "/version")


async def test_access_to_the_workspace_and_get_on_bindings_are_needed() -> None:
    async with town() as west:
        people = {name: person(name.replace(" ", "-")) for name in PEOPLE}
        for number, (name, rules) in enumerate(PEOPLE.items()):
            if rules:
                await west.there.role(CONSUMER, f"role-{number}", *rules)
                await west.there.bind_role(CONSUMER, f"role-{number}", f"role-{number}", people[name].name)
        people |= {
            "anonymous": User(ANONYMOUS, (UNAUTHENTICATED_GROUP,)),
            "masters": MASTER,
            "kcp's administrators": User("admin", ("system:kcp:admin", "system:authenticated")),
        }
        everywhere = {"masters", "kcp's administrators"}
        for name, who in people.items():
            wanted = 200 if name in everywhere | {"may all"} else 403
            for path in (SCHEMAS, f"{SCHEMAS}/v1.cowboys.wild.west", *DISCOVERY):
                status, answer = await west.read(path, who)
                assert status == wanted, (name, path, answer)
            for method, code in (("POST", 405), ("DELETE", 405)):
                status, answer = await west.there.call(method, f"{base()}{SCHEMAS}", who, {})
                assert status == (code if who is MASTER else 403), (name, method, answer)
            for method in ("PUT", "PATCH", "DELETE"):
                status, answer = await west.there.call(method, f"{base()}{SCHEMAS}/v1.cowboys.wild.west", who, {})
                assert status == (405 if who is MASTER else 403), (name, method, answer)
            # A right in the consumer's workspace is none in another one.
            status, _ = await west.there.call("GET", f"{base(NEIGHBOUR)}{SCHEMAS}", who)
            assert status == (200 if name in everywhere else 403)
        _, refusal = await west.read(who=people["only access"])
        assert refusal["message"] == (
            'apiresourceschemas.apis.kcp.io is forbidden: User "only-access" cannot list resource "apiresourceschemas" in API '
            'group "apis.kcp.io" at the cluster scope: access denied'
        )


@pytest.mark.parametrize(
    "path",
    [
        base("900unknown000000"),
        base("zzz"),
        base("root:org"),
        "/services/apiresourceschema",
        f"{base()}/clusters/{NEIGHBOUR}",
        f"{base()}/clusters/",
        f"{base()}/clusters/root:org",
    ],
)
async def test_places_that_do_not_exist(path: str) -> None:
    async with town() as west:
        assert await west.there.call("GET", f"{path}{SCHEMAS}", MASTER) == (404, "404 page not found\n")
        status, answer = await west.there.call("GET", f"{path}{SCHEMAS}", READER)
        assert (status, answer["reason"]) == (403, "Forbidden")


async def test_a_workspace_of_another_range() -> None:
    async with town() as west:
        path = f"/ranges/root{base()}{SCHEMAS}"
        assert await west.here.call("GET", path, MASTER) == (404, "404 page not found\n")
        assert (await west.here.call("GET", path, READER))[0] == 403


async def test_an_unknown_workspace_is_refused_as_one_without_access() -> None:
    async with town() as west:
        stranger = person("stranger")
        there, unknown, of_no_range = [
            await west.there.call("GET", f"{base(cluster)}{SCHEMAS}", stranger)
            for cluster in (CONSUMER, "900unknown000000", "zzz")
        ]
        assert there == unknown == of_no_range
        assert there[1]["message"].endswith(": access denied")


async def test_discovery() -> None:
    async with town() as west:
        assert (await west.read("/api"))[1]["versions"] == ["v1"]
        assert (await west.read("/api/v1"))[0] == 404
        _, groups = await west.read("/apis", accept="application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
        assert groups["kind"] == "APIGroupList"
        assert [(group["name"], [each["version"] for each in group["versions"]]) for group in groups["groups"]] == [
            ("apis.kcp.io", ["v1alpha1"])
        ]
        assert (await west.read("/apis/apis.kcp.io/v1alpha2"))[0] == 404
        _, found = await west.read("/apis/apis.kcp.io/v1alpha1")
        (resource,) = found["resources"]
        assert resource["name"] == "apiresourceschemas"
        assert resource["verbs"] == ["get", "list", "watch"]
        assert resource["categories"] == ["kcp"]
        assert "shortNames" not in resource
        assert (await west.read(f"{SCHEMAS}/v1.cowboys.wild.west/status"))[0] == 404
        assert (await west.read("/apis/apis.kcp.io/v1alpha2/apibindings", MASTER))[0] == 404
        assert (await west.read("/apis/wild.west/v1/cowboys", MASTER))[0] == 404


async def test_a_range_of_another_shard() -> None:
    async with town() as west:
        path = f"{base()}/clusters/*{SCHEMAS}"
        passed = await west.here.call("GET", path, READER)
        assert passed == (200, {"passed": "range-9", "path": f"/ranges/range-9{path}"})


async def test_a_status_alone_shows_nothing() -> None:
    """A provider with a claim on APIBindings may write their status. Only the label tells which export was bound with
    permission."""
    hidden = "rhidden000000000"
    async with town() as west:
        await west.here.cluster(hidden, "root:hidden")
        await west.here.export(hidden, group="hidden.example")
        await west.there.until(lambda: west.there.identity(hidden, "cowboys"))
        assert await west.names() == ["v1.cowboys.wild.west"]
        # Nothing corrects the status of a binding whose export does not exist.
        export = west.here.cell.range_of(PROVIDER).get(Key(PROVIDER, API_EXPORTS, "", "cowboys"))
        assert export is not None
        await west.here.cell.commit([west.here.tenancy.changes.removed(export)])
        await west.there.until(lambda: west.there.tenancy.catalog.entry(API_EXPORTS, PROVIDER, "cowboys") is None)
        await west.there.idle()
        await west.there.edit(
            CONSUMER,
            "apis.kcp.io",
            "apibindings",
            "cowboys",
            lambda binding: binding["status"].update(phase="Bound", apiExportClusterName=hidden),
        )
        await west.there.idle()
        binding = west.there.get(CONSUMER, API_BINDINGS, "cowboys")
        assert binding is not None and binding["status"]["apiExportClusterName"] == hidden
        assert await west.names() == []
