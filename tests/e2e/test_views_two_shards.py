"""Virtual workspaces where those who meet in them are on different shards."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.people import ACCESS, CONTENT, Person, bind, everybody, grant, rule
from tests.e2e.provider import ALL_COWBOYS, COWBOYS, GROUP, Provider, answer, binding, claim, cowboy, export, home, schema
from tests.support.api import (
    API_BINDINGS,
    API_EXPORTS,
    CONFIG_MAPS,
    CORE,
    LOGICAL_CLUSTER,
    SERVICE_ACCOUNTS,
    WORKSPACE_TYPES,
    WORKSPACES,
    Api,
    Object,
    config_map,
)
from tests.support.forms import Platform, platform
from tests.support.tools import kubectls
from tests.support.waiting import wait_for

pytestmark = pytest.mark.views

CAPACITY = 5
ALL_CONFIG_MAPS = f"{CORE}/configmaps"
EVENTS = f"{CORE}/namespaces/default/events"
NEW_EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"
LOGICAL_CLUSTERS = LOGICAL_CLUSTER.rpartition("/")[0]
HORSES = f"/apis/{GROUP}/v1/namespaces/default/horses"
AUTHORIZATION = "/apis/authorization.k8s.io/v1"
AUTHENTICATION = "/apis/authentication.k8s.io/v1"
REVIEWS = (("authorization.k8s.io", "subjectaccessreviews"), ("authorization.k8s.io", "localsubjectaccessreviews"))


@dataclass
class SpreadConsumers:
    """A provider in the range `root`, whose one consumer `near` is there, and `far` in a range of the other shard."""

    server: Platform
    root: Api
    provider: Provider
    near: Api
    far: Api
    robot: Api
    """The server as a service account of the provider's workspace."""

    def url(self, consumer: Api) -> str:
        """The published URL under which a consumer is reached."""

        def holds(url: str) -> bool:
            return consumer.name in {home(b) for b in self.provider.api.at(f"{url}/clusters/*").items(API_BINDINGS)}

        def find() -> str:
            return next((url for url in self.provider.urls() if holds(url)), "")

        return wait_for(find, "a URL for the consumer")

    def view(self, consumer: Api, *, one: bool = True) -> Api:
        return self.robot.at(f"{self.url(consumer)}/clusters/{consumer.name if one else '*'}")


CLAIMS = (
    claim("", "configmaps"),
    claim("", "events"),
    *(claim(group, resource, "create") for group, resource in REVIEWS),
    claim("authentication.k8s.io", "tokenreviews", "create"),
)


def shard_of(root: Api, name: str) -> str:
    found: str = root.get(f"{WORKSPACES}/{name}")["metadata"]["annotations"]["core.kcp.io/shard"]
    return found


def far_workspace(api: Api, stem: str) -> tuple[str, Api]:
    """A workspace below `api` that is not in the range `root`: ranges open one after the other, on the shards in turn."""
    for number in range(3 * CAPACITY):
        name = f"{stem}-{number}"
        made = api.workspace(name)
        if shard_of(api, name) != "root":
            return name, made
    raise AssertionError("no second range was opened")


@pytest.fixture(scope="module")
def spread(form: str, tmp_path_factory: pytest.TempPathFactory, tokens: Path) -> Iterator[SpreadConsumers]:
    folder = tmp_path_factory.mktemp("views")
    with platform(form, folder, shards=2, range_capacity=CAPACITY, token_file=tokens) as server:
        root = server.root
        owner = Provider.install(root.workspace("owner"), schema("horses", "Horse"), name="horses")
        claims = (*CLAIMS, claim(GROUP, "horses", identityHash=owner.identity))
        provider = Provider.install(root.workspace("provider"), schema(), permissionClaims=list(claims))
        near = root.workspace("near")
        _, far = far_workspace(root, "far")
        assert shard_of(root, "provider") == shard_of(root, "near") == "root"
        for consumer in (near, far):
            consumer.create(API_BINDINGS, binding(owner.api.name, "horses"))
            owner.bound(consumer)
            provider.bind(consumer, *(answer(each) for each in claims))
        provider.api.create(SERVICE_ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}})
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = provider.api.create(f"{SERVICE_ACCOUNTS}/robot/token", request)["status"]["token"]
        subject = {"kind": "ServiceAccount", "name": "robot", "namespace": "default"}
        grant(provider.api, subject, rule("apis.kcp.io", CONTENT, resourceNames=["cowboys"]), name="robot")
        made = SpreadConsumers(server, root, provider, near, far, root.caller(token))
        assert made.url(near) != made.url(far)
        wait_for(lambda: made.view(far).status_of("GET", COWBOYS) == 200, "the service account is known on the other shard")
        yield made


@pytest.fixture(scope="module")
def somebody() -> Callable[[], Person]:
    people = iter(everybody())
    return lambda: next(people)


def test_service_account_works_on_both_shards(spread: SpreadConsumers) -> None:
    for consumer in (spread.near, spread.far):
        view = spread.view(consumer)
        view.create(COWBOYS, cowboy("by-robot"))
        view.patch(f"{COWBOYS}/by-robot/status", {"status": {"result": "rode"}})
        view.patch(f"{COWBOYS}/by-robot", {"metadata": {"labels": {"seen": "yes"}}})
        applied = {**cowboy("by-robot", "sleep")}
        view.patch(f"{COWBOYS}/by-robot", applied, "apply", fieldManager="robot", force=True)
        found = consumer.get(f"{COWBOYS}/by-robot")
        assert (found["spec"]["intent"], found["status"]["result"]) == ("sleep", "rode")
        assert [home(item) for item in spread.view(consumer, one=False).items(ALL_COWBOYS)] == [consumer.name]
        assert consumer.caller(spread.robot.token).status_of("GET", COWBOYS) == 403
        view.delete(f"{COWBOYS}/by-robot")
        consumer.gone(f"{COWBOYS}/by-robot")


def test_neither_url_reaches_the_tenants_of_the_other(spread: SpreadConsumers) -> None:
    for one, other in ((spread.near, spread.far), (spread.far, spread.near)):
        lost = spread.robot.at(f"{spread.url(one)}/clusters/{other.name}")
        assert lost.status_of("GET", COWBOYS) == 403


def test_discovery_says_the_same_everywhere(spread: SpreadConsumers) -> None:
    answers: list[list[Any]] = []
    for consumer in (spread.near, spread.far):
        for view in (spread.view(consumer), spread.view(consumer, one=False)):
            groups = view.get("/apis", headers={"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"})
            assert groups["kind"] == "APIGroupList", "views do not aggregate"
            paths = ["/api", "/api/v1", *(f"/apis/{v['groupVersion']}" for g in groups["groups"] for v in g["versions"])]
            answers.append([view.get(path) for path in paths[1:]])
            assert view.get("/api")["versions"] == ["v1"]
            assert view.status_of("GET", "/apis/none.example") == view.status_of("GET", "/apis/none.example/v1") == 404
            assert f"apis/{GROUP}/v1" in view.get("/openapi/v3")["paths"]
            assert view.get("/version")["major"]
    assert answers[0] == answers[1] == answers[2] == answers[3]
    resources = {r["name"]: r["verbs"] for found in answers[0] for r in found["resources"]}
    assert resources["cowboys"] == ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
    assert resources["cowboys/status"] == ["get", "patch", "update"]
    assert resources["apibindings"] == ["get", "list", "watch"]
    assert resources["tokenreviews"] == resources["subjectaccessreviews"] == ["create"]


def test_events_of_both_groups(spread: SpreadConsumers) -> None:
    core = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "old"},
        "involvedObject": {"kind": "Cowboy", "name": "x", "namespace": "default"},
        "reason": "Rode",
        "type": "Normal",
    }
    new = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "new"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "robot",
        "reportingInstance": "robot-1",
        "action": "Ride",
        "reason": "Rode",
        "type": "Normal",
        "regarding": {"kind": "Cowboy", "name": "x", "namespace": "default"},
    }
    for consumer in (spread.near, spread.far):
        view = spread.view(consumer)
        view.create(EVENTS, core)
        view.create(NEW_EVENTS, new)
        view.patch(f"{EVENTS}/old", {"count": 2})
        assert view.names(EVENTS) == view.names(NEW_EVENTS) == consumer.names(EVENTS) == ["new", "old"]


def test_reviews_are_answered_as_in_the_consumers_workspace(spread: SpreadConsumers, somebody: Callable[[], Person]) -> None:
    for consumer in (spread.near, spread.far):
        someone = somebody()
        grant(consumer, someone.subject, ACCESS, rule("", "configmaps", "get"), name="reader")
        view = spread.view(consumer)

        def asks(verb: str, path: str = "subjectaccessreviews", kind: str = "SubjectAccessReview") -> bool:
            attributes = {"namespace": "default", "verb": verb, "resource": "configmaps", "version": "v1"}
            spec = {"user": someone.name, "resourceAttributes": attributes}  # noqa: B023
            review = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
            if kind.startswith("Local"):
                review["metadata"] = {"namespace": "default"}
            done: bool = view.create(f"{AUTHORIZATION}/{path}", review)["status"]["allowed"]  # noqa: B023
            return done

        assert (asks("get"), asks("delete")) == (True, False)
        local = ("namespaces/default/localsubjectaccessreviews", "LocalSubjectAccessReview")
        assert (asks("get", *local), asks("delete", *local)) == (True, False)
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = consumer.create(f"{SERVICE_ACCOUNTS}/default/token", request)["status"]["token"]
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        status = view.create(f"{AUTHENTICATION}/tokenreviews", review)["status"]
        assert (status["authenticated"], status["user"]["username"]) == (True, "system:serviceaccount:default:default")
        assert view.status_of("GET", f"{AUTHENTICATION}/tokenreviews") in (403, 405)


def test_claims_come_and_go_in_an_open_watch(spread: SpreadConsumers) -> None:
    for consumer in (spread.near, spread.far):
        name = f"of-{consumer.name}"
        consumer.create(CONFIG_MAPS, config_map(name))
        path = f"{API_BINDINGS}/cowboys"
        claims = consumer.get(path)["spec"]["permissionClaims"]

        def set_state(state: str) -> None:
            changed = [{**c, "state": state} if c["resource"] == "configmaps" else c for c in claims]  # noqa: B023
            consumer.patch(path, {"spec": {"permissionClaims": changed}})  # noqa: B023

        def is_event(kind: str) -> Callable[[Object], bool]:
            return lambda e: e["type"] == kind and e["object"]["metadata"]["name"] == name  # noqa: B023

        with spread.view(consumer, one=False).watch(ALL_CONFIG_MAPS) as watch:
            events = iter(watch)
            next(event for event in events if is_event("ADDED")(event))
            set_state("Rejected")
            next(event for event in events if is_event("DELETED")(event))
            assert spread.view(consumer).status_of("GET", CONFIG_MAPS) == 403
            set_state("Accepted")
            next(event for event in events if is_event("ADDED")(event))


def test_claimed_type_of_an_export_with_a_policy(spread: SpreadConsumers) -> None:
    """Who owns a type decides what providers that claim it may do with it, wherever the consumer is."""
    owner = spread.root.cluster("root:owner")
    horse = {"apiVersion": f"{GROUP}/v1", "kind": "Horse", "metadata": {"name": "silver"}}
    for consumer in (spread.near, spread.far):
        consumer.create(HORSES, horse)
        assert spread.view(consumer).names(HORSES) == ["silver"]
    owner.patch(f"{API_EXPORTS}/horses", {"spec": {"maximalPermissionPolicy": {"local": {}}}})
    for consumer in (spread.near, spread.far):
        wait_for(lambda: spread.view(consumer).status_of("GET", HORSES) == 403, "the policy holds")  # noqa: B023
    name = f"apis.kcp.io:binding:system:kcp:serviceaccount:{spread.provider.api.name}:default:robot"
    subject = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": name}
    grant(owner, subject, rule(GROUP, "horses", "get", "list"), name="riders")
    for consumer in (spread.near, spread.far):
        wait_for(lambda: spread.view(consumer).status_of("GET", HORSES) == 200, "the policy lets read")  # noqa: B023
        assert spread.view(consumer).status_of("DELETE", f"{HORSES}/silver") == 403


def test_protobuf_bodies(spread: SpreadConsumers) -> None:
    """What client-go sends for built-in types when it is told to speak protobuf."""

    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    meta = field(1, b"in-protobuf") + field(3, b"default")
    raw = field(1, meta) + field(2, field(1, b"a") + field(2, b"b"))
    body = b"k8s\0" + field(1, field(1, b"v1") + field(2, b"ConfigMap")) + field(2, raw)
    for consumer in (spread.near, spread.far):
        found = spread.view(consumer).request("POST", CONFIG_MAPS, body, content_type="application/vnd.kubernetes.protobuf")
        assert found.expect(201)["data"] == {"a": "b"}
        assert consumer.get(f"{CONFIG_MAPS}/in-protobuf")["data"] == {"a": "b"}


def test_a_claim_that_is_withdrawn_ends_its_watches(spread: SpreadConsumers) -> None:
    provider = Provider.install(
        spread.root.workspace("second-provider"),
        schema("sheep", "Sheep"),
        name="sheep",
        permissionClaims=[claim("", "configmaps")],
    )
    provider.bind(spread.far, answer(claim("", "configmaps")))
    view = provider.view()
    with view.watch(ALL_CONFIG_MAPS, seconds=10) as watch, view.watch(f"/apis/{GROUP}/v1/sheep") as kept:
        provider.api.patch(f"{API_EXPORTS}/sheep", {"spec": {"permissionClaims": []}})
        assert [event["type"] for event in watch if event["type"] == "ERROR"] == [], "it ends, and in good order"
        view_one = provider.view(spread.far.name)
        sheep = {"apiVersion": f"{GROUP}/v1", "kind": "Sheep", "metadata": {"name": "dolly"}}
        view_one.create(f"/apis/{GROUP}/v1/namespaces/default/sheep", sheep)
        events = (event["type"] for event in kept)
        assert next(events) == "ADDED"
        assert view.status_of("GET", ALL_CONFIG_MAPS) == 404
        # The last consumer of a URL goes: informers are told that its objects are gone, and then the URL is.
        spread.far.delete(f"{API_BINDINGS}/sheep")
        assert next(event for event in events if event != "MODIFIED") == "DELETED"
    wait_for(lambda: provider.urls() == [], "the URL is gone")
    assert view.items(f"/apis/{GROUP}/v1/sheep") == []


def test_binding_asks_the_provider_on_the_other_shard(spread: SpreadConsumers, somebody: Callable[[], Person]) -> None:
    someone = somebody()
    grant(spread.far, someone.subject, ACCESS, rule("apis.kcp.io", "apibindings"), name="binder")
    wool = Provider.install(spread.root.workspace("wool"), schema("fleeces", "Fleece"), name="fleeces")
    body = binding("root:wool", "fleeces")
    caller = spread.far.caller(someone.token)
    assert caller.status_of("POST", API_BINDINGS, body) == 403
    grant(wool.api, someone.subject, rule("apis.kcp.io", "apiexports", "bind", resourceNames=["fleeces"]), name="binder")
    wait_for(lambda: caller.status_of("POST", API_BINDINGS, body) == 201, "bind is allowed")
    wool.bound(spread.far)


def test_provider_on_the_other_shard(spread: SpreadConsumers) -> None:
    name, api = far_workspace(spread.root, "away")
    provider = Provider.install(api, schema("goats", "Goat"), name="goats")
    path = f"/apis/{GROUP}/v1/namespaces/default/goats"
    for consumer in (spread.near, spread.far):
        consumer.create(API_BINDINGS, binding(f"root:{name}", "goats"))
        provider.bound(consumer)
        goat = {"apiVersion": f"{GROUP}/v1", "kind": "Goat", "metadata": {"name": "billy"}}
        consumer.create(path, goat)
    wait_for(lambda: len(provider.urls()) == 2, "a URL for each range")
    everywhere = [api.at(f"{url}/clusters/*") for url in provider.urls()]
    wait_for(lambda: all(view.names(API_BINDINGS) for view in everywhere), "both ranges are open")
    found = [home(o) for url in provider.urls() for o in api.at(f"{url}/clusters/*").items(f"/apis/{GROUP}/v1/goats")]
    assert sorted(found) == sorted([spread.near.name, spread.far.name])


def test_initializer_of_a_type_on_the_other_shard(spread: SpreadConsumers, somebody: Callable[[], Person]) -> None:
    builder = somebody()
    home_name, types = far_workspace(spread.root, "types")
    spec = {"initializer": True, "extend": {"with": [{"name": "universal", "path": "root"}]}}
    body = {"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "WorkspaceType", "metadata": {"name": "room"}, "spec": spec}
    types.create(WORKSPACE_TYPES, body)
    grant(types, builder.subject, rule("tenancy.kcp.io", "workspacetypes", "initialize", resourceNames=["room"]), name="builder")

    def urls() -> list[str]:
        status = types.get(f"{WORKSPACE_TYPES}/room").get("status") or {}
        return [each["url"] for each in status.get("virtualWorkspaces") or () if each["type"] == "initializing"]

    wait_for(urls, "the type lists its URLs")
    type_reference = {"name": "room", "path": f"root:{home_name}"}
    for number in range(2 * CAPACITY):
        name = f"room-{number}"
        body = {"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": name}}
        spread.root.create(WORKSPACES, {**body, "spec": {"type": type_reference}})
        made = wait_for(
            lambda: (w := spread.root.get(f"{WORKSPACES}/{name}"))["status"]["phase"] == "Initializing" and w,  # noqa: B023
            "the workspace waits",
        )
        cluster = made["spec"]["cluster"]

        def showing() -> list[str]:
            views = {url: spread.root.at(f"{url}/clusters/*").caller(builder.token) for url in urls()}
            return [url for url, view in views.items() if cluster in {home(o) for o in view.items(LOGICAL_CLUSTERS)}]  # noqa: B023

        (url,) = wait_for(showing, "it is seen under one URL")
        inside = spread.root.at(f"{url}/clusters/{cluster}").caller(builder.token)
        inside.create(CONFIG_MAPS, config_map("prepared"))
        inside.patch(f"{LOGICAL_CLUSTER}/status", {"status": {"initializers": []}})
        assert spread.root.ready(name).get(f"{CONFIG_MAPS}/prepared")
        assert inside.request("GET", CONFIG_MAPS).headers["Content-Type"].startswith("text/plain")


def test_personal_workspaces_on_every_shard(spread: SpreadConsumers, somebody: Callable[[], Person]) -> None:
    ann, bob = somebody(), somebody()
    org = spread.root.workspace("org")
    teams = [org.workspace(f"team-{number}") for number in range(CAPACITY + 1)]
    assert len({shard_of(org, f"team-{number}") for number in range(len(teams))}) > 1
    hers, his = (spread.root.at("/services/workspaces/root:org").caller(p.token) for p in (ann, bob))
    for number, team in enumerate(teams):
        bind(team, ann.subject, "cluster-admin", name="ann")
        grant(team, {**bob.subject, "kind": "Group", "name": bob.group}, ACCESS, name="crew")
        expected = [f"team-{n}" for n in range(number + 1)]
        for caller in (hers, his):
            wait_for(lambda: caller.names(WORKSPACES) == expected, "both see what they may enter")  # noqa: B023
    with his.watch(WORKSPACES) as watch:
        events = ((event["type"], event["object"]["metadata"]["name"]) for event in watch)
        assert {next(events) for _ in teams} == {("ADDED", f"team-{number}") for number in range(len(teams))}
        for number, team in enumerate(teams):
            team.delete("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/crew")
            assert next(events) == ("DELETED", f"team-{number}")
    assert (his.names(WORKSPACES), len(hers.names(WORKSPACES))) == ([], len(teams))


def test_kubectl_through_the_view(spread: SpreadConsumers, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("apiVersion: v1\nkind: Config\n")
    for kubectl in kubectls()[:: max(1, len(kubectls()) - 1)]:
        for consumer in (spread.near, spread.far):

            def run(*arguments: str, cluster: str, text: str = "") -> str:
                command = [
                    *(kubectl, "--kubeconfig", str(kubeconfig), "--cache-dir", str(tmp_path / "cache")),  # noqa: B023
                    *("--server", f"{spread.url(consumer)}/clusters/{cluster}", "--token", spread.robot.token),  # noqa: B023
                    *("--certificate-authority", spread.root.ca, *arguments),
                ]
                done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=150, check=False)
                assert done.returncode == 0, done.stderr
                return done.stdout

            manifest = f"apiVersion: {GROUP}/v1\nkind: Cowboy\nmetadata:\n  name: kubectl\nspec:\n  intent: ride\n"
            assert "created" in run("apply", "-f", "-", cluster=consumer.name, text=manifest)
            again = manifest.replace("ride", "sleep")
            assert "configured" in run("apply", "-f", "-", cluster=consumer.name, text=again)
            assert "applied" in run(
                "apply", "--server-side", "--force-conflicts", "-f", "-", cluster=consumer.name, text=manifest
            )
            assert "kubectl" in run("get", "cowboys", "--all-namespaces", cluster="*")
            assert "cowboys" in run("api-resources", "--api-group", GROUP, cluster="*")
            assert "patched" in run(
                "patch", "cowboy", "kubectl", "--type=merge", "-p", '{"spec":{"intent":"eat"}}', cluster=consumer.name
            )
            assert "deleted" in run("delete", "cowboy", "kubectl", cluster=consumer.name)


def test_an_export_with_the_same_name_elsewhere_is_another(spread: SpreadConsumers) -> None:
    """The cluster in the URL is an id: a path is not looked up there."""
    url = spread.url(spread.near)
    by_path = url.replace(f"/{spread.provider.api.name}/", "/root:provider/")
    assert spread.robot.at(f"{by_path}/clusters/*").status_of("GET", ALL_COWBOYS) == 403
    spread.root.workspace("other").create(API_EXPORTS, export("cowboys"))
    other = url.replace(f"/{spread.provider.api.name}/", f"/{spread.root.ready('other').name}/")
    assert spread.robot.at(f"{other}/clusters/*").status_of("GET", ALL_COWBOYS) == 403
