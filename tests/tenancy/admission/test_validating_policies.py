"""Validating admission policies in effect, in a logical cluster on a shard in memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from tenantry.apiserver.admission.dynamic import Ask
from tenantry.apiserver.admission.review import Review
from tenantry.apiserver.request import Request
from tenantry.apiserver.verbs import write
from tenantry.http.messages import Reply
from tenantry.kube.admission import evaluation, validating
from tenantry.kube.objects import Object
from tenantry.tenancy.admission.policies import parameters, policy_index, validating_policies
from tests.support import tenancies
from tests.support.clusters import ServedCluster, conditions, config_map, definition
from tests.support.people import MASTER
from tests.support.tenancies import ServedShard
from tests.tenancy.rbac_objects import BOB, rule, writers

GROUP = "admissionregistration.k8s.io"
POLICIES, BINDINGS = f"validatingadmissionpolicies.{GROUP}", f"validatingadmissionpolicybindings.{GROUP}"
CONFIG_MAPS = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}
COWBOYS = {"apiGroups": ["wild.west"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["cowboys"]}
PROVIDER, CONSUMER = "rprovider0000000", "rconsumer0000000"
ELSEWHERE = "900consumer00000"
CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap"}
BY_NAME = {"name": "allowed", "namespace": "default", "parameterNotFoundAction": "Deny"}
BY_LABEL = {"selector": {"matchLabels": {"set": "a"}}, "namespace": "default", "parameterNotFoundAction": "Deny"}
ONLY_ITS_NAME = {"expression": "object.metadata.name == params.data.name", "messageExpression": "'only ' + params.data.name"}
MANY = "object.data.all(a, object.data.all(b, object.data.all(c, a + b + c != '')))"
"""With 30 entries it takes about 200,000 units: too long for the event loop, and allowed."""


def policy(name: str, *validations: Object | str, rules: Sequence[Object] = (CONFIG_MAPS,), **spec: Any) -> Object:
    listed = [{"expression": each} if isinstance(each, str) else each for each in validations]
    constraints = {"resourceRules": list(rules)}
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {"matchConstraints": constraints, "validations": listed, **spec},
    }


def binding(name: str, *actions: str, **spec: Any) -> Object:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": list(actions or ("Deny",)), **spec},
    }


async def install(cluster: ServedCluster, *objects: Object) -> None:
    for obj in objects:
        await cluster.post(BINDINGS if obj["kind"].endswith("Binding") else POLICIES, obj, "")


def full(name: str, entries: int = 30, **metadata: Any) -> Object:
    return {**config_map(name, **metadata), "data": {f"k{number:02}": "v" for number in range(entries)}}


def text(name: str, message: str, obj: str = "x") -> str:
    return (
        f"configmaps \"{obj}\" is forbidden: ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: {message}"
    )


async def test_a_policy_is_in_effect_while_it_is_bound() -> None:
    async with ServedCluster() as cluster:
        await install(cluster, policy("no", "object.metadata.name != 'x'"))
        await cluster.post("configmaps", config_map("x"))
        await cluster.delete("configmaps", "x")
        await install(cluster, binding("no"))
        failed = text("no", "failed expression: object.metadata.name != 'x'")
        assert await cluster.refused("configmaps", config_map("x")) == (422, failed)
        assert cluster.find("configmaps", "x") is None
        await cluster.patch(POLICIES, "no", {"spec": {"validations": [{"expression": "true"}]}}, "")
        await cluster.post("configmaps", config_map("x"))
        await cluster.patch(POLICIES, "no", {"spec": {"validations": [{"expression": "false", "message": "now"}]}}, "")
        assert (await cluster.refused("configmaps", config_map("y")))[1] == text("no", "now", "y")
        status, answer = await cluster.call("DELETE", cluster.url("configmaps", "x"), MASTER)
        assert (status, answer["message"]) == (422, text("no", "now"))
        await cluster.delete(BINDINGS, "no", "")
        await cluster.delete("configmaps", "x")


async def test_other_types_and_clusters_do_not_ask_a_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    own = validating.validate

    def noting(*given: Any) -> Any:
        asked.append("")
        return own(*given)

    monkeypatch.setattr(validating_policies, "validate", noting)
    async with ServedCluster() as cluster:
        await install(cluster, policy("no", "false"), binding("no"))
        await cluster.post("secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}})
        await cluster.cluster("rother0000000000")
        await cluster.namespace("rother0000000000", "default")
        path = cluster.url("configmaps", cluster="rother0000000000")
        assert (await cluster.call("POST", path, MASTER, config_map("x")))[0] == 201
        assert asked == []
        await cluster.refused("configmaps", config_map("x"))
        assert asked == [""]


async def test_long_evaluations_go_to_a_thread_and_ask_the_authorizer_on_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[bool] = []
    own = validating.validate

    def noting(*given: Any) -> Any:
        places.append(threading.current_thread() is threading.main_thread())
        return own(*given)

    monkeypatch.setattr(validating_policies, "validate", noting)
    may = "authorizer.group('').resource('secrets').namespace('default').check('get').allowed()"
    async with ServedCluster() as cluster:
        await writers(cluster, rule("create", "configmaps"))
        await install(cluster, policy("long", MANY, {"expression": may, "message": "no secrets"}), binding("long"))
        assert await cluster.refused("configmaps", full("x"), who=BOB) == (422, text("long", "no secrets"))
        assert places[0] and not any(places[1:]) and len(places) > 1
        await cluster.post("configmaps", full("x"))
        await cluster.post("configmaps", full("small", 2))


async def test_what_is_too_long_for_kubernetes_is_too_long_in_a_thread() -> None:
    async with ServedCluster() as cluster:
        await install(cluster, policy("dear", MANY), binding("dear"))
        status, message = await cluster.refused("configmaps", full("x", 90))
        assert status == 422
        assert message == text("dear", f"expression '{MANY}' resulted in error: operation cancelled: actual cost limit exceeded")


async def test_a_write_has_a_limit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "WRITE_LIMIT", 500_000)
    async with ServedCluster() as cluster:
        await install(cluster, policy("many", *[MANY] * 5), binding("many"))
        status, message = await cluster.refused("configmaps", full("x", 40))
        assert status == 422 and "running out of cost budget" in message


async def test_the_heaviest_writes_of_a_tenant_do_not_delay_those_of_others() -> None:
    other = "rother0000000000"
    async with ServedCluster() as cluster:
        for number in range(2):
            await install(cluster, policy(f"heavy-{number}", *[MANY] * 9), binding(f"heavy-{number}"))
        await cluster.cluster(other)
        await cluster.namespace(other, "default")
        for plural, obj in ((POLICIES, policy("some", MANY)), (BINDINGS, binding("some"))):
            assert (await cluster.call("POST", cluster.url(plural, "", "", cluster=other), MASTER, obj))[0] == 201
        heaviest = [asyncio.ensure_future(cluster.refused("configmaps", full(f"x-{number}", 52))) for number in range(32)]
        path = cluster.url("configmaps", cluster=other)
        async with asyncio.timeout(60):
            for name, entries in (("heavy", 30), ("light", 2), ("heavy-too", 30)):
                assert (await cluster.call("POST", path, MASTER, full(name, entries)))[0] == 201
        # One of them takes several seconds of a thread, and two may be at work: the others' would wait until they are done.
        assert not any(each.done() for each in heaviest)
        for each in heaviest:
            each.cancel()
        await asyncio.gather(*heaviest, return_exceptions=True)


async def test_the_policies_of_a_cluster_are_bounded() -> None:
    async with ServedCluster() as cluster:
        large = policy("large", f"object.metadata.name != '{'x' * 90_000}'")
        for number in range(5):
            large["metadata"]["name"] = f"large-{number}"
            await cluster.post(POLICIES, large, "")
        large["metadata"]["name"] = "more"
        status, answer = await cluster.call("POST", cluster.url(POLICIES, "", ""), MASTER, large)
        assert status == 403 and "may have 1000 admission policies, of 524288 bytes in all" in answer["message"]
        await cluster.patch(POLICIES, "large-0", {"spec": {"failurePolicy": "Ignore"}}, "")
        await cluster.delete(POLICIES, "large-1", "")
        await cluster.post(POLICIES, large, "")


async def test_a_write_ends_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "ASKING_SECONDS", 0.05)
    async with ServedCluster() as cluster:
        await install(cluster, policy("many", *[MANY] * 18), binding("many"))
        status, message = await cluster.refused("configmaps", full("x", 52))
        assert (status, message.partition(":")[0]) == (504, "Timeout")


async def test_large_policies_are_read_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_index, "_AT_ONCE_BYTES", 100)
    async with ServedCluster() as cluster:
        await install(cluster, policy("no", {"expression": "false", "message": "no"}), binding("no"))
        for name in ("x", "y"):
            assert await cluster.refused("configmaps", config_map(name)) == (422, text("no", "no", name))


async def test_parameters_are_what_the_binding_says() -> None:
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    short = {"expression": "size(object.metadata.name) <= int(params.data.max)", "messageExpression": "'max ' + params.data.max"}
    limit = {**config_map("limit", labels={"set": "a"}), "data": {"max": "3"}}
    async with ServedCluster() as cluster:
        await cluster.post("configmaps", limit)
        reference = {"name": "limit", "namespace": "default", "parameterNotFoundAction": "Deny"}
        await install(cluster, policy("short", short, paramKind=kind), binding("short", paramRef=reference))
        await cluster.post("configmaps", config_map("abc"))
        assert await cluster.refused("configmaps", config_map("abcd")) == (422, text("short", "max 3", "abcd"))
        await cluster.patch(BINDINGS, "short", {"spec": {"paramRef": {"name": "none"}}}, "")
        missing = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
        assert await cluster.refused("configmaps", config_map("y")) == (422, text("short", missing, "y"))


async def test_many_parameters_are_read_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parameters, "_AT_ONCE_RECORDS", 3)
    kind = {"apiVersion": "v1", "kind": "ServiceAccount"}
    selector = {"selector": {"matchLabels": {"set": "a"}}, "parameterNotFoundAction": "Deny"}
    async with ServedCluster() as cluster:
        for number in range(10):
            meta = {"name": f"a{number}", "labels": {"set": "a" if number != 4 else "b"}}
            await cluster.post("serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
        check = {"expression": "params.metadata.name != 'a7'", "messageExpression": "'not ' + params.metadata.name"}
        await install(cluster, policy("each", check, paramKind=kind), binding("each", paramRef=selector))
        assert await cluster.refused("configmaps", config_map("x")) == (422, text("each", "not a7"))
        monkeypatch.setattr(parameters, "PARAMS_MAX", 5)
        status, message = await cluster.refused("configmaps", config_map("x"))
        assert status == 422 and "failed to configure binding: more than 5 parameters" in message


async def test_what_is_audited_is_noted_and_allowed() -> None:
    noted: list[dict[str, str]] = []

    class Noting(validating_policies.ValidatingPolicyAdmission):
        def validating(self, review: Review) -> Ask | None:
            try:
                return super().validating(review)
            finally:
                noted.append(review.audit_annotations)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(validating_policies, "ValidatingPolicyAdmission", Noting)
        async with ServedCluster() as cluster:
            annotation = {"key": "k", "valueExpression": "'v ' + object.metadata.name"}
            check = {"expression": "false", "message": "m"}
            await install(cluster, policy("a", "true", check, auditAnnotations=[annotation]), binding("a", "Audit"))
            noted.clear()
            await cluster.post("configmaps", config_map("x"))
    failure = {"message": "m", "policy": "a", "binding": "a", "expressionIndex": 1, "validationActions": ["Audit"]}
    assert [each for each in noted if each] == [
        {"validation.policy.admission.k8s.io/validation_failure": orjson.dumps([failure]).decode(), "a/k": "v x"}
    ]


async def test_types_are_checked_once_for_each_generation() -> None:
    async with ServedCluster() as cluster:
        await install(cluster, policy("t", "object.foo == 1"))
        await cluster.until(lambda: (cluster.find(POLICIES, "t", "") or {}).get("status", {}).get("observedGeneration") == 1)
        found = cluster.find(POLICIES, "t", "")
        assert found is not None
        [warning] = found["status"]["typeChecking"]["expressionWarnings"]
        assert warning["fieldRef"] == "spec.validations[0].expression"
        assert warning["warning"].startswith("/v1, Kind=ConfigMap: ERROR: <input>:1:7: undefined field 'foo'")
        await cluster.patch(POLICIES, "t", {"spec": {"validations": [{"expression": "object.data.a == 'b'"}]}}, "")
        await cluster.until(lambda: (cluster.find(POLICIES, "t", "") or {}).get("status", {}).get("observedGeneration") == 2)
        found = cluster.find(POLICIES, "t", "")
        assert found is not None and found["status"]["typeChecking"] == {}


async def test_metadata_of_custom_types_is_typed_too() -> None:
    async with ServedCluster() as cluster:
        await cluster.post("customresourcedefinitions", definition("things", "Thing"), "")
        crd = "things.x.example"
        await cluster.until(
            lambda: conditions(cluster.find("customresourcedefinitions", crd, "")).get("Established", ("",))[0] == "True"
        )
        things = {"apiGroups": ["x.example"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["things"]}
        await install(cluster, policy("t", "'a' in object.metadata.labels && object.metadata.zzz == 1", rules=[things]))
        await cluster.until(lambda: (cluster.find(POLICIES, "t", "") or {}).get("status", {}).get("observedGeneration") == 1)
        found = cluster.find(POLICIES, "t", "")
        assert found is not None
        [warning] = found["status"]["typeChecking"]["expressionWarnings"]
        assert warning["warning"].count("ERROR") == 1 and "undefined field 'zzz'" in warning["warning"]


async def provide(shard: ServedShard, reference: Object, check: Object) -> None:
    """A provider of cowboys with a policy about them, and a ConfigMap as its parameter."""
    await shard.cluster(PROVIDER, "root:provider")
    await shard.namespace(PROVIDER, "default")
    await shard.export(PROVIDER)
    parameter = {**config_map("allowed", namespace="default", labels={"set": "a"}), "data": {"name": "one"}}
    made = [
        ("", "configmaps", parameter),
        (GROUP, "validatingadmissionpolicies", policy("p", check, rules=[COWBOYS], paramKind=CONFIG_MAP)),
        (GROUP, "validatingadmissionpolicybindings", binding("p", paramRef=reference)),
    ]
    for group, plural, obj in made:
        api = f"apis/{group}/v1" if group else "api/v1/namespaces/default"
        status, answer = await shard.call("POST", f"/clusters/{PROVIDER}/{api}/{plural}", MASTER, obj)
        assert status == 201, answer


async def consume(shard: ServedShard, cluster: str) -> None:
    await shard.until(lambda: shard.identity(PROVIDER, "cowboys"))
    await shard.cluster(cluster)
    await shard.namespace(cluster, "default")
    await shard.bind(cluster, PROVIDER, "cowboys")


async def create(shard: ServedShard, cluster: str, name: str) -> tuple[int, str]:
    path = f"/clusters/{cluster}/apis/wild.west/v1/namespaces/default/cowboys"
    cowboy = {"apiVersion": "wild.west/v1", "kind": "Cowboy", "metadata": {"name": name}}
    status, answer = await shard.call("POST", path, MASTER, cowboy)
    return status, answer.get("message", "")


@pytest.mark.parametrize("reference", [BY_NAME, BY_LABEL], ids=["by name", "by label"])
async def test_policies_of_a_provider_are_in_effect_for_its_consumers(reference: Object) -> None:
    async with ServedShard(whole_admission=True) as shard:
        await provide(shard, reference, ONLY_ITS_NAME)
        await consume(shard, CONSUMER)
        assert (await create(shard, CONSUMER, "two"))[1].endswith("denied request: only one")
        assert (await create(shard, CONSUMER, "one"))[0] == 201


class Passing:
    """Calls another shard of this process."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.to: ServedShard | None = None

    async def call(self, range_name: str, request: Request) -> Reply:
        assert self.to is not None
        self.paths.append(request.path)
        return await self.to.pipeline(request)


@pytest.mark.parametrize("reference", [BY_NAME, BY_LABEL], ids=["by name", "by label"])
async def test_parameters_of_a_provider_on_another_shard(reference: Object, monkeypatch: pytest.MonkeyPatch) -> None:
    peers = Passing()
    monkeypatch.setattr(tenancies, "NoPeers", lambda: peers)
    async with (
        ServedShard(whole_admission=True) as here,
        ServedShard(store=here.store, name="there", whole_admission=True) as there,
    ):
        peers.to = here
        await provide(here, reference, ONLY_ITS_NAME)
        await consume(there, ELSEWHERE)
        peers.paths.clear()
        assert (await create(there, ELSEWHERE, "two"))[1].endswith("denied request: only one")
        assert any(path.startswith(f"/clusters/{PROVIDER}/api/v1/namespaces/default/configmaps") for path in peers.paths)
        assert (await create(there, ELSEWHERE, "one"))[0] == 201
