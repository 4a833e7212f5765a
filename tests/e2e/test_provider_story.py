"""A provider publishes an API, consumers bind it, and the provider works on exactly what they gave it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

import pytest

from tests.e2e.people import ACCESS, CONTENT, Person, bind, grant, rule
from tests.e2e.provider import ALL_COWBOYS, COWBOYS, GROUP, Provider, answer, binding, claim, cowboy, home, schema
from tests.support.api import (
    API_BINDINGS,
    API_EXPORTS,
    API_RESOURCE_SCHEMAS,
    CONFIG_MAPS,
    NAMESPACES,
    RBAC,
    SECRETS,
    SERVICE_ACCOUNTS,
    Api,
    config_map,
)
from tests.support.waiting import wait_for

pytestmark = pytest.mark.views

APIS = "apis.kcp.io"


@pytest.fixture
def make(root: Api, unique: Callable[[str], str]) -> Callable[[str], Api]:
    """Makes a workspace with a name of this test."""
    return lambda stem: root.workspace(unique(stem))


@pytest.fixture
def provider(make: Callable[[str], Api], person: Callable[[], Person]) -> Provider:
    return Provider.install(make("provider"), schema(), by=person())


@pytest.fixture
def consumers(provider: Provider, make: Callable[[str], Api]) -> list[Api]:
    return [provider.bind(make("consumer")) for _ in range(3)]


def test_export_gets_an_identity_and_a_slice(provider: Provider) -> None:
    found = provider.api.get(f"{API_EXPORTS}/cowboys")
    assert found["spec"]["identity"]["secretRef"] == {"namespace": "kcp-system", "name": "cowboys"}
    key = provider.api.get(f"{NAMESPACES}/kcp-system/secrets/cowboys")["data"]["key"]
    assert hashlib.sha256(base64.b64decode(key)).hexdigest() == provider.identity
    assert {c["type"]: c["status"] for c in found["status"]["conditions"]}["IdentityValid"] == "True"
    assert provider.urls() == [], "nobody has bound it"


def test_consumer_gets_the_api(provider: Provider, consumers: list[Api], make: Callable[[str], Api]) -> None:
    consumer = consumers[0]
    bound = consumer.get(f"{API_BINDINGS}/cowboys")
    assert bound["status"]["apiExportClusterName"] == provider.api.name
    (resource,) = bound["status"]["boundResources"]
    assert (resource["group"], resource["resource"]) == (GROUP, "cowboys")
    assert resource["schema"]["name"] == "v1.cowboys.example.com"
    assert resource["schema"]["identityHash"] == provider.identity
    conditions = {c["type"]: c["status"] for c in bound["status"]["conditions"]}
    assert conditions["Ready"] == conditions["InitialBindingCompleted"] == conditions["APIExportValid"] == "True"
    names = [r["name"] for r in consumer.get(f"/apis/{GROUP}/v1")["resources"]]
    assert sorted(names) == ["cowboys", "cowboys/status"]
    made = consumer.create(COWBOYS, cowboy("joe") | {"spec": {"intent": "ride", "unknown": "field"}})
    assert made["spec"] == {"intent": "ride"}
    assert consumer.status_of("POST", COWBOYS, cowboy("bad") | {"spec": {"intent": 1}}) == 422
    assert consumers[1].names(COWBOYS) == [], "consumers do not see each other"
    assert provider.api.status_of("GET", COWBOYS) == 404, "the provider itself has not bound it"
    assert make("stranger").status_of("GET", COWBOYS) == 404


def test_wildcard_shows_all_consumers_and_nothing_else(provider: Provider, consumers: list[Api]) -> None:
    for number, consumer in enumerate(consumers):
        consumer.create(COWBOYS, cowboy(f"cowboy-{number}"))
    everywhere = provider.view()
    found = everywhere.get(ALL_COWBOYS)
    assert found["kind"] == "CowboyList"
    seen = {(home(o), o["metadata"]["name"]) for o in found["items"]}
    assert seen == {(c.name, f"cowboy-{n}") for n, c in enumerate(consumers)}
    groups = [g["name"] for g in everywhere.get("/apis")["groups"]]
    assert GROUP in groups and "rbac.authorization.k8s.io" not in groups
    for path in ("/api/v1/configmaps", "/api/v1/secrets", f"{RBAC}/clusterroles", "/apis/tenancy.kcp.io/v1alpha1/workspaces"):
        assert everywhere.status_of("GET", path) == 404
    # A wildcard has no one cluster to write into or to read an object from.
    assert everywhere.status_of("POST", COWBOYS, cowboy("nowhere")) in (400, 405)
    assert everywhere.status_of("GET", f"{COWBOYS}/cowboy-0") in (400, 405)
    assert everywhere.status_of("GET", COWBOYS) == 400


def test_wildcard_watch_follows_all_consumers(provider: Provider, consumers: list[Api], make: Callable[[str], Api]) -> None:
    consumers[0].create(COWBOYS, cowboy("first"))
    everywhere = provider.view()
    version = everywhere.get(ALL_COWBOYS)["metadata"]["resourceVersion"]
    with everywhere.watch(ALL_COWBOYS, resourceVersion=version) as watch:
        consumers[1].create(COWBOYS, cowboy("second"))
        consumers[0].patch(f"{COWBOYS}/first", {"spec": {"intent": "rest"}})
        late = provider.bind(make("late"))
        late.create(COWBOYS, cowboy("third"))
        consumers[0].delete(f"{COWBOYS}/first")
        late.delete(f"{API_BINDINGS}/cowboys")
        seen = watch.until(lambda e: e["type"] == "DELETED" and e["object"]["metadata"]["name"] == "third")
    assert [
        (e["type"], e["object"]["metadata"]["annotations"]["kcp.io/cluster"], e["object"]["metadata"]["name"]) for e in seen
    ] == [
        ("ADDED", consumers[1].name, "second"),
        ("MODIFIED", consumers[0].name, "first"),
        ("ADDED", late.name, "third"),
        ("DELETED", consumers[0].name, "first"),
        ("DELETED", late.name, "third"),
    ]


def test_every_verb_in_one_cluster(provider: Provider, consumers: list[Api]) -> None:
    consumer, view = consumers[0], provider.view(consumers[0].name)
    made = view.create(COWBOYS, cowboy("joe"))
    assert made["metadata"]["annotations"]["kcp.io/cluster"] == consumer.name
    assert consumer.get(f"{COWBOYS}/joe")["metadata"]["uid"] == made["metadata"]["uid"]
    made["spec"]["intent"] = "put"
    assert view.put(f"{COWBOYS}/joe", made)["spec"]["intent"] == "put"
    assert view.status_of("PUT", f"{COWBOYS}/joe", made) == 409
    assert view.patch(f"{COWBOYS}/joe", {"spec": {"intent": "merged"}})["spec"]["intent"] == "merged"
    replace = [{"op": "replace", "path": "/spec/intent", "value": "replaced"}]
    assert view.patch(f"{COWBOYS}/joe", replace, "json")["spec"]["intent"] == "replaced"
    applied = view.patch(f"{COWBOYS}/jim", cowboy("jim"), "apply", fieldManager="provider")
    assert applied["metadata"]["managedFields"][0]["manager"] == "provider"
    status = view.patch(f"{COWBOYS}/joe/status", {"status": {"result": "done"}, "spec": {"intent": "ignored"}})
    assert (status["status"], status["spec"]["intent"]) == ({"result": "done"}, "replaced")
    assert view.names(COWBOYS) == ["jim", "joe"]
    with view.watch(ALL_COWBOYS) as watch:
        view.delete(f"{COWBOYS}/jim")
        watch.until(lambda e: e["type"] == "DELETED")
    view.delete(COWBOYS)
    assert consumer.names(COWBOYS) == []
    table = view.get(COWBOYS, headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})
    assert table["kind"] == "Table"


def test_provider_reaches_nothing_else_of_a_consumer(
    provider: Provider, consumers: list[Api], make: Callable[[str], Api]
) -> None:
    consumer = consumers[0]
    consumer.create(CONFIG_MAPS, config_map("private"))
    view = provider.view(consumer.name)
    for path in (CONFIG_MAPS, f"{CONFIG_MAPS}/private", SECRETS, NAMESPACES, f"{RBAC}/clusterroles"):
        assert view.status_of("GET", path) == 403
    assert view.status_of("POST", CONFIG_MAPS, config_map("forged")) == 403
    stranger = make("stranger")
    for path in (COWBOYS, API_BINDINGS):
        assert provider.view(stranger.name).status_of("GET", path) == 403, "no binding, no way in"
    # Its own binding is what a provider always sees, and only that.
    assert view.names(API_BINDINGS) == ["cowboys"]
    assert view.status_of("DELETE", f"{API_BINDINGS}/cowboys") in (403, 405)
    assert len(provider.view().names(API_BINDINGS)) == len(consumers)


def test_claimed_configmaps_accepted_and_rejected(make: Callable[[str], Api], person: Callable[[], Person]) -> None:
    wanted = claim("", "configmaps")
    provider = Provider.install(make("provider"), schema(), by=person(), permissionClaims=[wanted])
    gives = make("gives")
    gives.create(CONFIG_MAPS, config_map("older"))
    refuses = make("refuses")
    refuses.create(CONFIG_MAPS, config_map("older"))
    provider.bind(gives, answer(wanted))
    provider.bind(refuses, answer(wanted, "Rejected"))
    everywhere = provider.view()

    def clusters() -> set[str]:
        return {home(o) for o in everywhere.items("/api/v1/configmaps")}

    wait_for(lambda: clusters() == {gives.name})
    view = provider.view(gives.name)
    wait_for(lambda: "older" in view.names(CONFIG_MAPS))
    view.create(CONFIG_MAPS, config_map("by-provider"))
    assert "by-provider" in gives.names(CONFIG_MAPS)
    label = next(
        k for k in gives.get(f"{CONFIG_MAPS}/older")["metadata"]["labels"] if k.startswith("claimed.internal.apis.kcp.io/")
    )
    assert label
    assert provider.view(refuses.name).status_of("GET", CONFIG_MAPS) == 403
    applied = gives.get(f"{API_BINDINGS}/cowboys")["status"]
    assert [c["resource"] for c in applied["appliedPermissionClaims"]] == ["configmaps"]
    assert [c["resource"] for c in applied["exportPermissionClaims"]] == ["configmaps"]
    # A change of mind takes effect, for watches too.
    with everywhere.watch("/api/v1/configmaps") as watch:
        change = gives.get(f"{API_BINDINGS}/cowboys")
        change["spec"]["permissionClaims"] = [answer(wanted, "Rejected")]
        gives.put(f"{API_BINDINGS}/cowboys", change)
        watch.until(lambda e: e["type"] == "DELETED" and e["object"]["metadata"]["name"] == "older")
    wait_for(lambda: clusters() == set())
    assert view.status_of("GET", f"{CONFIG_MAPS}/older") == 403


def test_a_claim_that_nobody_answered_gives_nothing(make: Callable[[str], Api], person: Callable[[], Person]) -> None:
    provider = Provider.install(make("provider"), schema(), by=person(), permissionClaims=[claim("", "secrets")])
    consumer = provider.bind(make("consumer"))
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "word"}, "stringData": {"key": "value"}}
    consumer.create(SECRETS, secret)
    assert provider.view().names("/api/v1/secrets") == []
    assert provider.view(consumer.name).status_of("GET", f"{SECRETS}/word") == 403


def test_claim_is_limited_by_selector_and_verbs(make: Callable[[str], Api], person: Callable[[], Person]) -> None:
    wanted = claim("", "configmaps", "get", "list", "watch", "create")
    provider = Provider.install(make("provider"), schema(), by=person(), permissionClaims=[wanted])
    consumer = make("consumer")
    consumer.create(CONFIG_MAPS, config_map("theirs"))
    consumer.create(CONFIG_MAPS, config_map("shared", labels={"for": "provider"}))
    provider.bind(consumer, answer(wanted, matchLabels={"for": "provider"}))
    view = provider.view(consumer.name)
    wait_for(lambda: view.names(CONFIG_MAPS) == ["shared"])
    assert view.status_of("GET", f"{CONFIG_MAPS}/theirs") == 404
    made = view.create(CONFIG_MAPS, config_map("made"))
    assert made["metadata"]["labels"]["for"] == "provider", "what the selector wants is put on"
    assert view.status_of("POST", CONFIG_MAPS, config_map("bad", labels={"for": "others"})) == 403
    assert view.status_of("DELETE", f"{CONFIG_MAPS}/made") == 403
    consumer.patch(f"{CONFIG_MAPS}/shared", {"metadata": {"labels": {"for": None}}})
    wait_for(lambda: view.names(CONFIG_MAPS) == ["made"])


def test_claim_of_another_exports_type(make: Callable[[str], Api], person: Callable[[], Person]) -> None:
    sheriffs = Provider.install(make("sheriffs"), schema("sheriffs", "Sheriff"), name="sheriffs")
    wanted = claim(GROUP, "sheriffs", identityHash=sheriffs.identity)
    cowboys = Provider.install(make("cowboys"), schema(), by=person(), permissionClaims=[wanted])
    accepts, rejects = make("accepts"), make("rejects")
    path = COWBOYS.replace("cowboys", "sheriffs")
    for consumer, state in ((accepts, "Accepted"), (rejects, "Rejected")):
        sheriffs.bind(consumer)
        cowboys.bind(consumer, answer(wanted, state))
        consumer.create(path, cowboy("pat") | {"kind": "Sheriff"})
    wild = path.replace("/namespaces/default", "")
    wait_for(
        lambda: [home(o) for o in cowboys.view().items(wild)] == [accepts.name],
        "only the sheriff of the one who accepts",
    )
    view = cowboys.view(accepts.name)
    assert view.patch(f"{path}/pat", {"spec": {"intent": "claimed"}})["spec"]["intent"] == "claimed"
    assert cowboys.view(rejects.name).status_of("GET", f"{path}/pat") == 403
    assert len(sheriffs.view().items(wild)) == 2


def test_claim_of_a_foreign_type_needs_its_identity(make: Callable[[str], Api]) -> None:
    api = make("provider")
    api.create(API_RESOURCE_SCHEMAS, schema())
    refused = api.request(
        "POST",
        API_EXPORTS,
        {
            "apiVersion": "apis.kcp.io/v1alpha2",
            "kind": "APIExport",
            "metadata": {"name": "bad"},
            "spec": {"permissionClaims": [claim(GROUP, "sheriffs")]},
        },
    )
    assert refused.status in (403, 422) and "identityHash" in refused.text


def test_binding_needs_the_verb_bind(provider: Provider, make: Callable[[str], Api], person: Callable[[], Person]) -> None:
    someone, consumer = person(), make("consumer")
    bind(consumer, someone.subject, "cluster-admin", name="admin")
    caller = consumer.caller(someone.token)
    refused = caller.request("POST", API_BINDINGS, binding(provider.api.name, "cowboys")).expect(403)
    unknown = caller.request("POST", API_BINDINGS, binding(provider.api.name, "nothing")).expect(403)
    assert refused["message"].replace("cowboys", "nothing") == unknown["message"], "existence does not show"
    grant(provider.api, someone.subject, rule(APIS, "apiexports", "bind", resourceNames=["cowboys"]), name="binders")
    wait_for(lambda: caller.status_of("POST", API_BINDINGS, binding(provider.api.name, "cowboys")) == 201)
    provider.bound(consumer)


def test_maximal_permission_policy(make: Callable[[str], Api], person: Callable[[], Person]) -> None:
    provider = Provider.install(make("provider"), schema(), maximalPermissionPolicy={"local": {}})
    someone, consumer = person(), provider.bind(make("consumer"))
    bind(consumer, someone.subject, "cluster-admin", name="admin")
    caller = consumer.caller(someone.token)
    assert caller.status_of("GET", COWBOYS) == 403, "the policy gives nothing yet"
    prefixed = {**someone.subject, "name": f"apis.kcp.io:binding:{someone.name}"}
    grant(provider.api, prefixed, rule(GROUP, "cowboys", "get", "list", "create"), name="most")
    wait_for(lambda: caller.status_of("GET", COWBOYS) == 200)
    caller.create(COWBOYS, cowboy("joe"))
    assert caller.status_of("DELETE", f"{COWBOYS}/joe") == 403
    assert caller.status_of("POST", CONFIG_MAPS, config_map("other")) == 201, "it bounds the export's types alone"


def test_content_authorization(provider: Provider, consumers: list[Api], person: Callable[[], Person]) -> None:
    someone, consumer = person(), consumers[0]
    consumer.create(COWBOYS, cowboy("joe"))
    everywhere, view = provider.view().caller(someone.token), provider.view(consumer.name).caller(someone.token)
    refused = everywhere.request("GET", ALL_COWBOYS).expect(403)
    assert refused["message"] == (
        f'cowboys.example.com is forbidden: User "{someone.name}" cannot list resource "cowboys" in API group "example.com" '
        "at the cluster scope: access denied"
    )
    content = rule(APIS, CONTENT, "get", "list", resourceNames=["cowboys"])
    grant(provider.api, someone.subject, content, name="readers")
    assert everywhere.status_of("GET", ALL_COWBOYS) == 403, "who may not enter the provider's workspace may not use its view"
    grant(provider.api, someone.subject, ACCESS, name="enter")
    wait_for(lambda: everywhere.status_of("GET", ALL_COWBOYS) == 200)
    assert view.get(f"{COWBOYS}/joe")["metadata"]["name"] == "joe"
    assert view.status_of("PATCH", f"{COWBOYS}/joe", {}, content_type="application/merge-patch+json") == 403
    assert view.status_of("DELETE", f"{COWBOYS}/joe") == 403
    grant(provider.api, someone.subject, rule(APIS, CONTENT, "*", resourceNames=["cowboys"]), name="writers")
    wait_for(lambda: view.status_of("DELETE", f"{COWBOYS}/joe") == 200)
    # In the consumer's workspace itself the caller is still nobody.
    assert consumer.caller(someone.token).status_of("GET", COWBOYS) == 403


def test_service_account_of_the_provider_is_the_caller(provider: Provider, consumers: list[Api]) -> None:
    provider.api.create(SERVICE_ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "controller"}})
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = provider.api.create(f"{SERVICE_ACCOUNTS}/controller/token", request)["status"]["token"]
    subject = {"kind": "ServiceAccount", "name": "controller", "namespace": "default"}
    everywhere = provider.view().caller(token)
    assert everywhere.status_of("GET", ALL_COWBOYS) == 403
    grant(
        provider.api,
        subject,
        rule(APIS, CONTENT, resourceNames=["cowboys"]),
        rule(APIS, "apiexportendpointslices", "get", "list", "watch"),
        name="controller",
    )
    wait_for(lambda: everywhere.status_of("GET", ALL_COWBOYS) == 200)
    robot = Provider(provider.api.caller(token), "cowboys", token)
    assert robot.urls() == provider.urls(), "it follows the slice with the same token"
    view = robot.view(consumers[0].name)
    view.create(COWBOYS, cowboy("made-by-robot"))
    assert consumers[0].names(COWBOYS) == ["made-by-robot"]
    assert consumers[0].caller(token).status_of("GET", COWBOYS) == 403


def test_unbinding_takes_the_objects_along(provider: Provider, consumers: list[Api]) -> None:
    consumer = consumers[0]
    consumer.create(COWBOYS, cowboy("held", finalizers=["example.com/hold"]))
    consumer.create(COWBOYS, cowboy("free"))
    consumer.delete(f"{API_BINDINGS}/cowboys")
    wait_for(lambda: consumer.names(COWBOYS) == ["held"])
    assert consumer.status_of("POST", COWBOYS, cowboy("late")) in (403, 405)
    # The provider is the one who removes its finalizer.
    provider.view(consumer.name).patch(f"{COWBOYS}/held", {"metadata": {"finalizers": None}})
    consumer.gone(f"{API_BINDINGS}/cowboys")
    assert consumer.status_of("GET", COWBOYS) == 404
    assert provider.view(consumer.name).status_of("GET", COWBOYS) == 403


def test_new_schema_reaches_consumers_that_bound_before(provider: Provider, consumers: list[Api]) -> None:
    consumer = consumers[0]
    newer = schema(prefix="v2", fields="intent,mood")
    provider.api.create(API_RESOURCE_SCHEMAS, newer)
    change = [{"op": "replace", "path": "/spec/resources/0/schema", "value": newer["metadata"]["name"]}]
    provider.api.patch(f"{API_EXPORTS}/cowboys", change, "json")

    def status() -> str:
        return str(consumer.get(f"{API_BINDINGS}/cowboys")["status"]["boundResources"][0]["schema"]["name"])

    wait_for(lambda: status() == "v2.cowboys.example.com")
    made = consumer.create(COWBOYS, cowboy("joe") | {"spec": {"intent": "ride", "mood": "good"}})
    assert made["spec"]["mood"] == "good"


def test_deleted_export_leaves_consumers_their_data(provider: Provider, consumers: list[Api]) -> None:
    consumer = consumers[0]
    consumer.create(COWBOYS, cowboy("joe"))
    view = provider.view(consumer.name)
    provider.api.delete(f"{API_EXPORTS}/cowboys")
    # kcp answers 500 to who may see the content of an export that is gone, and 404 to system:masters.
    wait_for(lambda: view.status_of("GET", COWBOYS) in (403, 404, 500))
    wait_for(lambda: view.caller(provider.api.token).status_of("GET", COWBOYS) == 404)
    assert consumer.names(COWBOYS) == ["joe"]
    consumer.create(COWBOYS, cowboy("jim"))

    def valid() -> str:
        return str(
            {c["type"]: c["status"] for c in consumer.get(f"{API_BINDINGS}/cowboys")["status"]["conditions"]}["APIExportValid"]
        )

    wait_for(lambda: valid() == "False")


def test_names_conflict(make: Callable[[str], Api]) -> None:
    first = Provider.install(make("first"), schema())
    second = Provider.install(make("second"), schema(), name="also-cowboys")
    consumer = first.bind(make("consumer"))
    consumer.create(API_BINDINGS, binding(second.api.name, "also-cowboys"))

    def reasons() -> list[str]:
        conditions = consumer.get(f"{API_BINDINGS}/also-cowboys").get("status", {}).get("conditions") or []
        return [c.get("reason", "") for c in conditions if c["status"] == "False"]

    wait_for(lambda: "NamingConflicts" in reasons())
    consumer.create(COWBOYS, cowboy("joe"))
    assert len(first.view().items(ALL_COWBOYS)) == 1
