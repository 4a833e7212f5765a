"""Admission webhooks in effect, in a logical cluster on a shard in memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tenantry.apiserver.admission.webhooks import caller, mutating
from tenantry.apiserver.admission.webhooks.call_context import WebhookCalls
from tenantry.apiserver.admission.webhooks.review_document import decode_response
from tenantry.apiserver.admission.webhooks.services import Services
from tenantry.apiserver.user import MASTERS_GROUP, User, service_account_groups, with_home
from tenantry.http.outgoing import OutgoingCalls
from tenantry.http.outgoing_connection import OutgoingAnswer
from tenantry.http.reachable_networks import ReachableNetworks
from tenantry.kube.objects import Object
from tests.support.clusters import CLUSTER, ServedCluster, config_map
from tests.support.people import MASTER
from tests.support.tenancies import ServedShard
from tests.support.webhooks import GROUP, PLURALS, WebhookServer, configuration, deny, patch, rule

ACCOUNT = "system:serviceaccount:kube-system:admin"
PROVIDER, CONSUMER, ELSEWHERE = "rprovider0000000", "rconsumer0000000", "900consumer00000"
COWBOYS = rule("cowboys", group="wild.west")


@pytest.fixture
def hooks() -> Iterator[WebhookServer]:
    with WebhookServer() as server:
        yield server


@asynccontextmanager
async def calling(networks: str = "loopback", services: str = "") -> AsyncIterator[WebhookCalls]:
    calls = WebhookCalls(networks=ReachableNetworks(networks), services=Services(services))
    try:
        yield calls
    finally:
        calls.close()


@asynccontextmanager
async def serving(**how: str) -> AsyncIterator[ServedCluster]:
    async with calling(**how) as calls, ServedCluster(webhooks=calls) as cluster:
        yield cluster


async def install(cluster: ServedShard, kind: str, name: str, *webhooks: Object, at: str = CLUSTER) -> None:
    path = f"/clusters/{at}/apis/{GROUP}/v1/{PLURALS[kind]}"
    status, answer = await cluster.call("POST", path, MASTER, configuration(kind, name, *webhooks))
    assert status == 201, answer


async def test_a_validating_webhook_denies(hooks: WebhookServer) -> None:
    async with serving() as cluster:
        await install(cluster, "validating", "guard", hooks.webhook("guard", deny("not today")))
        refused = await cluster.refused("configmaps", config_map("one"))
        assert refused == (403, 'admission webhook "guard.hooks.example" denied the request: not today')
        assert cluster.find("configmaps", "one") is None
        (request,) = hooks.asked("guard")
        assert request["object"]["metadata"]["annotations"]["kcp.io/cluster"] == CLUSTER
        assert request["operation"] == "CREATE" and request["name"] == "one" and request["namespace"] == "default"


async def test_a_denial_has_a_code_that_http_has(hooks: WebhookServer) -> None:
    async with serving() as cluster:
        denied = {"allowed": False, "status": {"code": 2_000_000_000}}
        await install(cluster, "validating", "guard", hooks.webhook("guard", lambda review: denied))
        assert (await cluster.refused("configmaps", config_map("one")))[0] == 500


async def test_a_service_account_of_another_workspace_is_not_taken_for_a_local_one(hooks: WebhookServer) -> None:
    async with serving() as cluster:
        await install(cluster, "validating", "guard", hooks.webhook("guard"))
        groups = (*service_account_groups("kube-system"), MASTERS_GROUP)
        await cluster.post("configmaps", config_map("one"), who=with_home(User(ACCOUNT, groups), PROVIDER))
        await cluster.post("configmaps", config_map("two"), who=with_home(User(ACCOUNT, groups), CLUSTER))
        seen = [request["userInfo"] for request in hooks.asked("guard")]
        assert [each["username"] for each in seen] == [f"system:kcp:serviceaccount:{PROVIDER}:kube-system:admin", ACCOUNT]
        assert "system:serviceaccounts" not in seen[0]["groups"]


async def test_audit_annotations_number_all_webhooks_of_the_cluster(
    hooks: WebhookServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[str] = []
    monkeypatch.setattr(mutating, "annotate_json", lambda review, key, value: noted.append(key.rpartition("/")[2]))
    async with serving() as cluster:
        of_others = hooks.webhook("others") | {"rules": [rule("secrets")]}
        await install(cluster, "mutating", "a", of_others, hooks.webhook("first"))
        await install(cluster, "mutating", "b", hooks.webhook("second"))
        await cluster.post("configmaps", config_map("one"))
    assert noted == ["round_0_index_1", "round_0_index_2"]


async def test_a_long_patch_is_not_encoded_for_the_audit_log(hooks: WebhookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[object] = []
    monkeypatch.setattr(mutating, "annotate_json", lambda review, key, value: noted.append(value.get("patch")))
    async with serving() as cluster:
        for size in (10, 20_000):
            add = patch({"op": "add", "path": "/data", "value": {f"k{number}": "" for number in range(size)}})
            await install(cluster, "mutating", f"adds{size}", hooks.webhook(f"adds{size}", add))
        await cluster.post("configmaps", config_map("one"))
    assert [len(each[0]["value"]) for each in noted if isinstance(each, list)] == [10]


async def test_a_mutating_webhook_changes_what_is_stored(hooks: WebhookServer) -> None:
    async with serving() as cluster:
        added = patch({"op": "add", "path": "/data", "value": {"by": "hook"}})
        await install(cluster, "mutating", "adds", hooks.webhook("adds", added))
        made = await cluster.post("configmaps", config_map("one"))
        assert made["data"] == {"by": "hook"}
        stored = cluster.find("configmaps", "one")
        assert stored is not None and stored["data"] == {"by": "hook"}


async def test_effects_begin_and_end_with_the_configuration(hooks: WebhookServer) -> None:
    async with serving() as cluster:
        await cluster.post("configmaps", config_map("before"))
        await install(cluster, "validating", "guard", hooks.webhook("guard", deny("no")))
        assert (await cluster.refused("configmaps", config_map("during")))[0] == 403
        status, _ = await cluster.call("DELETE", cluster.url(f"{PLURALS['validating']}.{GROUP}", "guard", ""), MASTER)
        assert status == 200
        await cluster.post("configmaps", config_map("after"))
        assert len(hooks.seen) == 1


async def test_a_write_that_is_overtaken_while_it_is_reviewed_is_reviewed_again(hooks: WebhookServer) -> None:
    async with serving() as cluster:
        await cluster.post("configmaps", config_map("one"))
        entered, may_answer = threading.Event(), threading.Event()

        def wait_once(review: Object) -> Object:
            if review["request"]["userInfo"]["username"] == MASTER.name and not entered.is_set():
                entered.set()
                may_answer.wait(10)
            return {"allowed": True}

        await install(cluster, "validating", "slow", hooks.webhook("slow", wait_once, rules=[rule(operations="UPDATE")]))

        first = asyncio.create_task(cluster.patch("configmaps", "one", {"data": {"first": "1"}}))
        await asyncio.to_thread(entered.wait, 10)
        await cluster.patch("configmaps", "one", {"data": {"second": "2"}})
        may_answer.set()
        await first
        stored = cluster.find("configmaps", "one")
        assert stored is not None and stored["data"] == {"first": "1", "second": "2"}
        asked = [request["object"]["data"] for request in hooks.asked("slow")]
        assert asked == [{"first": "1"}, {"second": "2"}, {"first": "1", "second": "2"}]


async def test_many_writers_of_one_object_succeed(hooks: WebhookServer) -> None:
    async with serving() as cluster:
        await cluster.post("configmaps", config_map("one"))
        await install(cluster, "validating", "guard", hooks.webhook("guard"))
        written = {f"k{number}": "v" for number in range(24)}
        await asyncio.gather(*(cluster.patch("configmaps", "one", {"data": {key: "v"}}) for key in written))
        stored = cluster.find("configmaps", "one")
        assert stored is not None and stored["data"] == written


async def test_a_webhook_may_write_the_large_object_about_which_it_is_asked(hooks: WebhookServer) -> None:
    """Heavy writes of one object take turns."""
    large = {**config_map("one"), "data": {f"k{number}": "v" for number in range(2_000)}}
    async with serving() as cluster:
        loop, url = asyncio.get_running_loop(), cluster.url("configmaps", "one")
        written: list[int] = []

        async def write() -> int:
            return (await cluster.call("PUT", url, MASTER, {**large, "data": {**large["data"], "by": "webhook"}}))[0]

        def write_first(review: Object) -> Object:
            if review["request"]["object"]["data"].get("by") == "user" and not written:
                written.append(asyncio.run_coroutine_threadsafe(write(), loop).result(8))
            return {"allowed": True}

        await cluster.post("configmaps", large)
        await install(cluster, "validating", "guard", hooks.webhook("guard", write_first))
        status, answer = await cluster.call("PUT", url, MASTER, {**large, "data": {**large["data"], "by": "user"}})
        assert (status, written) == (200, [200]), answer.get("message")
        assert answer["data"]["by"] == "user"


async def test_reserved_metadata_is_not_a_webhooks_to_write(hooks: WebhookServer) -> None:
    async with serving() as cluster:
        sets = patch(
            {
                "op": "add",
                "path": "/metadata/labels",
                "value": {"claimed.internal.apis.kcp.io/x": "y", "internal.kcp.io/x": "y", "mine": "yes"},
            }
        )
        await install(cluster, "mutating", "sets", hooks.webhook("sets", sets))
        made = await cluster.post("configmaps", config_map("one"))
        assert made["metadata"]["labels"] == {"mine": "yes"}


async def test_configurations_themselves_are_not_reviewed(hooks: WebhookServer) -> None:
    async with serving() as cluster:
        for kind in ("validating", "mutating"):
            every = rule("*") | {"apiGroups": ["*"]}
            await install(cluster, kind, "all", hooks.webhook(kind, deny("nothing at all"), rules=[every]))
        for kind, plural in PLURALS.items():
            status, _ = await cluster.call("DELETE", cluster.url(f"{plural}.{GROUP}", "all", ""), MASTER)
            assert status == 200, kind
        assert hooks.seen == []


@pytest.mark.parametrize(("networks", "reached"), [("public", False), ("loopback", True), ("10.0.0.0/8", False)])
async def test_webhooks_reach_what_the_operator_allows(hooks: WebhookServer, networks: str, reached: bool) -> None:
    async with serving(networks=networks) as cluster:
        await install(cluster, "validating", "guard", hooks.webhook("guard"))
        status, text = await cluster.refused("configmaps", config_map("one"))
        assert bool(hooks.seen) == reached
        assert status == (201 if reached else 500)
        assert reached or f"dial tcp 127.0.0.1:{hooks.port}: connect: the server does not call this address" in text


async def test_failures_are_ignored_where_the_webhook_says_so(hooks: WebhookServer) -> None:
    async with serving(networks="public") as cluster:
        await install(cluster, "validating", "guard", hooks.webhook("guard", failurePolicy="Ignore"))
        await cluster.post("configmaps", config_map("one"))


async def test_services_are_found_where_the_operator_says(hooks: WebhookServer) -> None:
    service = {"service": {"name": "guard", "namespace": "default", "path": "/guard"}}
    async with serving() as cluster:
        await install(cluster, "validating", "guard", {**hooks.webhook("guard"), "clientConfig": service})
        status, text = await cluster.refused("configmaps", config_map("one"))
        assert status == 500 and 'service "guard" not found' in text and "--webhook-service-host" in text
    async with serving(services=f"127.0.0.1:{hooks.port}", networks="public") as cluster:
        trusted = service | {"caBundle": hooks.client("/")["caBundle"]}
        await install(cluster, "validating", "guard", {**hooks.webhook("guard"), "clientConfig": trusted})
        status, text = await cluster.refused("configmaps", config_map("one"))
        # The certificate is to be that of the service, wherever it runs.
        assert status == 500 and "x509: certificate is not valid for guard.default.svc" in text


async def test_a_missing_namespace_is_told_before_webhooks_are_asked(hooks: WebhookServer) -> None:
    async with serving() as cluster:
        selector = {"matchLabels": {"kubernetes.io/metadata.name": "default"}}
        await install(cluster, "validating", "guard", hooks.webhook("guard", namespaceSelector=selector))
        assert (await cluster.refused("configmaps", config_map("one"), "nowhere"))[0] == 404
        assert hooks.seen == []


async def provide(shard: ServedShard, hooks: WebhookServer) -> None:
    """A provider of cowboys, whose webhook denies them."""
    await shard.cluster(PROVIDER, "root:provider")
    await shard.export(PROVIDER)
    await install(shard, "validating", "guard", hooks.webhook("provider", deny("of the provider"), rules=[COWBOYS]), at=PROVIDER)


def new(kind: str, name: str = "one") -> Object:
    return {"apiVersion": "wild.west/v1", "kind": kind, "metadata": {"name": name}}


async def create_cowboy(shard: ServedShard, cluster: str) -> tuple[int, Any]:
    path = f"/clusters/{cluster}/apis/wild.west/v1/namespaces/default/cowboys"
    status, answer = await shard.call("POST", path, MASTER, new("Cowboy"))
    if status == 404:
        status, answer = await shard.call("POST", path.replace("/namespaces/default", ""), MASTER, new("Cowboy"))
    return status, answer


async def test_a_providers_webhooks_review_the_objects_of_its_consumers(hooks: WebhookServer) -> None:
    async with calling() as calls, ServedShard(whole_admission=True, webhooks=calls) as shard:
        await provide(shard, hooks)
        await shard.until(lambda: shard.identity(PROVIDER, "cowboys"))
        await shard.cluster(CONSUMER)
        await shard.namespace(CONSUMER, "default")
        await shard.bind(CONSUMER, PROVIDER, "cowboys")
        await install(shard, "validating", "mine", hooks.webhook("consumer", rules=[COWBOYS]), at=CONSUMER)
        status, answer = await create_cowboy(shard, CONSUMER)
        assert status == 403 and answer["message"].endswith("denied the request: of the provider")
        (request,) = hooks.asked("provider")
        assert request["object"]["metadata"]["annotations"]["kcp.io/cluster"] == CONSUMER
        assert hooks.asked("consumer") == []


async def test_a_providers_webhooks_are_known_on_other_shards(hooks: WebhookServer) -> None:
    async with calling() as calls, ServedShard(whole_admission=True, webhooks=calls) as here:
        there = ServedShard(store=here.store, name="there", whole_admission=True, webhooks=calls)
        async with there:
            await provide(here, hooks)
            await there.until(lambda: there.identity(PROVIDER, "cowboys"))
            await there.cluster(ELSEWHERE)
            await there.namespace(ELSEWHERE, "default")
            await there.bind(ELSEWHERE, PROVIDER, "cowboys")
            status, answer = await create_cowboy(there, ELSEWHERE)
            assert status == 403 and answer["message"].endswith("denied the request: of the provider")


async def test_configurations_from_before_the_export_are_copied_too(hooks: WebhookServer) -> None:
    async with calling() as calls, ServedShard(whole_admission=True, webhooks=calls) as here:
        there = ServedShard(store=here.store, name="there", whole_admission=True, webhooks=calls)
        async with there:
            await here.cluster(PROVIDER, "root:provider")
            guard = hooks.webhook("provider", deny("of the provider"), rules=[COWBOYS])
            await install(here, "validating", "guard", guard, at=PROVIDER)
            await here.export(PROVIDER)
            await there.until(lambda: there.identity(PROVIDER, "cowboys"))
            await there.cluster(ELSEWHERE)
            await there.namespace(ELSEWHERE, "default")
            await there.bind(ELSEWHERE, PROVIDER, "cowboys")
            status, _ = await create_cowboy(there, ELSEWHERE)
            assert status == 403


@pytest.mark.parametrize("body", [b"a: b\n" * 1_000, b'{"a":' * 2_000 + b"1" + b"}" * 2_000])
async def test_answers_that_may_be_yaml_are_read_in_a_thread(
    hooks: WebhookServer, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    threads: list[bool] = []

    def decoded(*given: Any, **how: Any) -> Any:
        threads.append(threading.current_thread() is not threading.main_thread())
        return decode_response(*given, **how)

    monkeypatch.setattr(caller, "decode_response", decoded)

    async def answer(self: object, to: object, request: bytes, **how: object) -> OutgoingAnswer:
        return OutgoingAnswer(200, {}, body)

    monkeypatch.setattr(OutgoingCalls, "call", answer)
    async with serving() as cluster:
        await install(cluster, "validating", "guard", hooks.webhook("guard"))
        assert (await cluster.refused("configmaps", config_map("one")))[0] == 500
    assert threads == [True]
