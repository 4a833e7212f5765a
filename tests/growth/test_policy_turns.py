"""However many and long the policies of a cluster are, the loop runs few lines of them for a write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from tenantry.apiserver.admission.review import Review
from tenantry.kube.objects import Object
from tenantry.storage.keys import Key
from tenantry.storage.record import Head, Record
from tenantry.tenancy.admission.policies import validating_policies
from tenantry.tenancy.resources import VALIDATING_ADMISSION_POLICIES, VALIDATING_ADMISSION_POLICY_BINDINGS
from tests.growth.test_api_turns import bare_shard
from tests.growth.turns import counted_turns
from tests.support.clusters import CLUSTER, ServedCluster, config_map
from tests.support.people import MASTER

LINES_OF_A_TURN = 16_000
LINES_OF_AN_EVALUATION = 120_000
"""Those of expressions that cost 5,000 units, which takes about 2 ms."""
GROUP = "admissionregistration.k8s.io"
ITEMS = f"/clusters/{CLUSTER}/api/v1/namespaces/default/configmaps"
POLICIES = f"/clusters/{CLUSTER}/apis/{GROUP}/v1/validatingadmissionpolicies"


def long(number: int, length: int = 1_500) -> str:
    """An expression that is true, and of which no other text is remembered."""
    return f"object.metadata.name != 'n{number}'" + " && object.metadata.name != ''" * (length // 30)


def spec(*expressions: str, resources: tuple[str, ...] = ("configmaps",)) -> Object:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": list(resources)}
    return {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": each} for each in expressions]}


def stored(resource: str, name: str, content: Object) -> Record:
    value = orjson.dumps({"metadata": {"name": name, "uid": name, "generation": 1}, "spec": content})
    return Record(Key(CLUSTER, resource, "", name), value, 1, Head(name))


def bound(name: str, content: Object) -> Iterator[Record]:
    yield stored(VALIDATING_ADMISSION_POLICIES, name, content)
    binding = {"policyName": name, "validationActions": ["Deny"]}
    yield stored(VALIDATING_ADMISSION_POLICY_BINDINGS, name, binding)


async def answered(
    monkeypatch: pytest.MonkeyPatch, shard: ServedCluster, path: str, body: Object, lines: int = LINES_OF_A_TURN
) -> tuple[int, Any]:
    with counted_turns(monkeypatch) as turn:
        status, answer = await shard.call("POST", path, MASTER, body, "dryRun=All")
    assert 0 < turn.longest < lines, f"{turn.longest} lines in one turn, most of them in {turn.where}"
    return status, answer


async def test_policies_are_checked_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"apiVersion": f"{GROUP}/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "p"}}
    async with bare_shard(iter(())) as shard:
        assert (await shard.call("POST", POLICIES, MASTER, body | {"spec": spec("true")}, "dryRun=All"))[0] == 201
        status, answer = await answered(monkeypatch, shard, POLICIES, body | {"spec": spec(*map(long, range(30)))})
        assert status == 201, answer
        status, answer = await answered(monkeypatch, shard, POLICIES, body | {"spec": spec(*map(long, range(30)), "zzz")})
        assert status == 422 and "undeclared reference to 'zzz'" in answer["message"]


async def write(monkeypatch: pytest.MonkeyPatch, records: Iterator[Record], obj: Object, lines: int = LINES_OF_A_TURN) -> None:
    async with bare_shard(records) as shard:
        # What does not depend on policies is loaded.
        other = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
        assert (await shard.call("POST", ITEMS.replace("configmaps", "secrets"), MASTER, other, "dryRun=All"))[0] == 201
        for _ in range(2):
            status, answer = await answered(monkeypatch, shard, ITEMS, obj, lines)
            assert status == 201, answer


async def test_long_expressions_are_compiled_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    await write(monkeypatch, bound("p", spec(*map(long, range(30)))), config_map("x"), LINES_OF_AN_EVALUATION)


async def test_many_policies_are_read_and_matched_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    many = (record for number in range(400) for record in bound(f"p{number}", spec(f"object.metadata.name != 'n{number}'")))
    await write(monkeypatch, many, config_map("x"), LINES_OF_AN_EVALUATION // 2)


async def test_rules_of_many_resources_are_matched_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    content = spec("true")
    [rule] = content["matchConstraints"]["resourceRules"]
    content["matchConstraints"]["resourceRules"] = [{**rule, "resourceNames": [f"n{number}"]} for number in range(5_000)]
    await write(monkeypatch, bound("p", content), config_map("x"))


async def test_dear_expressions_are_evaluated_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = "object.data.all(a, object.data.all(b, object.data.all(c, a + b + c != '')))"
    data = {f"k{number:02}": "v" for number in range(40)}
    await write(monkeypatch, bound("p", spec(loop)), {**config_map("x"), "data": data}, LINES_OF_AN_EVALUATION)


@pytest.mark.parametrize("count", [250, 1_000])
async def test_parameters_are_selected_in_a_thread(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    async with bare_shard(_with_parameters(count)) as shard:
        other = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
        assert (await shard.call("POST", ITEMS.replace("configmaps", "secrets"), MASTER, other, "dryRun=All"))[0] == 201
        for _ in range(2):
            status, answer = await answered(monkeypatch, shard, ITEMS, config_map("x"), LINES_OF_AN_EVALUATION // 2)
            assert status == (201 if count < 256 else 403), answer
    if status == 403:
        assert "more than 256 answers and parameters" in answer["message"]


def _with_parameters(count: int) -> Iterator[Record]:
    """Objects, and bindings that select among them."""
    for number in range(90):
        value = orjson.dumps({"metadata": {"name": f"c{number}", "namespace": "default", "uid": f"{number}"}})
        yield Record(Key(CLUSTER, "core/configmaps", "default", f"c{number}"), value, 1, Head(f"{number}", labels={"a": "b"}))
    yield stored(VALIDATING_ADMISSION_POLICIES, "p", {**spec("true"), "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}})
    for number in range(count):
        reference = {"namespace": "default", "selector": {"matchLabels": {"z": f"{number}"}}, "parameterNotFoundAction": "Allow"}
        binding = {"policyName": "p", "validationActions": ["Deny"], "paramRef": reference}
        yield stored(VALIDATING_ADMISSION_POLICY_BINDINGS, f"b{number}", binding)


async def test_resources_of_a_rule_are_compared_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    resources = (*(f"r{number}" for number in range(20_000)), "configmaps")
    await write(monkeypatch, bound("p", spec("true", resources=resources)), config_map("x"))


async def test_warnings_and_failures_of_many_bindings_are_few_and_short(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Review] = []

    def concluded(review: Review, outcomes: Any) -> None:
        found.append(review)
        conclude(review, outcomes)

    conclude = validating_policies._conclude
    monkeypatch.setattr(validating_policies, "_conclude", concluded)
    async with bare_shard(_warned()) as shard:
        status, answer = await shard.call("POST", ITEMS, MASTER, config_map("x"), "dryRun=All")
        assert status == 201, answer
    [review] = found
    assert len(review.warnings) == 100 and sum(map(len, review.warnings)) < 3_000_000
    assert sum(map(len, review.audit_annotations.values())) < 2_000_000


def _warned() -> Iterator[Record]:
    content = spec("false")
    content["validations"][0]["message"] = "m" * 100_000
    yield stored(VALIDATING_ADMISSION_POLICIES, "p", content)
    for number in range(500):
        binding = {"policyName": "p", "validationActions": ["Warn", "Audit"]}
        yield stored(VALIDATING_ADMISSION_POLICY_BINDINGS, f"b{number}", binding)
