"""However many and long the webhooks of a cluster are, the loop runs few lines of them for a write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import pytest

from tenantry.apiserver.admission.webhooks.call_context import WebhookCalls
from tenantry.apiserver.admission.webhooks.services import Services
from tenantry.http.reachable_networks import ReachableNetworks
from tenantry.kube.objects import Object
from tenantry.storage.keys import Key
from tenantry.storage.record import Head, Record
from tenantry.tenancy.resources import MUTATING_WEBHOOK_CONFIGURATIONS, VALIDATING_WEBHOOK_CONFIGURATIONS
from tests.growth.test_api_turns import bare_shard
from tests.growth.turns import counted_turns
from tests.support.clusters import CLUSTER, config_map
from tests.support.people import MASTER
from tests.support.webhooks import rule

LINES_OF_A_TURN = 16_000
ITEMS = f"/clusters/{CLUSTER}/api/v1/namespaces/default/configmaps"
KINDS = (VALIDATING_WEBHOOK_CONFIGURATIONS, MUTATING_WEBHOOK_CONFIGURATIONS)


def webhook(number: int, *rules: Object, **fields: Any) -> Object:
    return {
        "name": f"w{number}.hooks.example",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": list(rules),
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "failurePolicy": "Ignore",
        **fields,
    }


def configurations(webhooks: Sequence[Object]) -> Iterator[Record]:
    for resource in KINDS:
        value = orjson.dumps({"metadata": {"name": "c", "uid": "c", "generation": 1}, "webhooks": webhooks})
        yield Record(Key(CLUSTER, resource, "", "c"), value, 1, Head("c"))


MANY: dict[str, Sequence[Object]] = {
    "webhooks for other resources": [webhook(number, rule("secrets")) for number in range(3_000)],
    "webhooks that select other objects": [
        webhook(number, rule(), objectSelector={"matchLabels": {"a": "b"}}) for number in range(3_000)
    ],
    "rules of a webhook": [webhook(0, *(rule(operations="CONNECT") for _ in range(5_000)))],
    "resources of a rule": [webhook(0, rule(",".join(f"r{number}" for number in range(20_000))))],
    "terms of a selector": [webhook(0, rule(), objectSelector={"matchLabels": {f"k{number}": "v" for number in range(10_000)}})],
}


@pytest.mark.parametrize("what", MANY)
async def test_matching_takes_few_lines_of_a_turn(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    calls = WebhookCalls(networks=ReachableNetworks("public"), services=Services(""))
    async with bare_shard(configurations(MANY[what]), webhooks=calls) as shard:
        other = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "s"}}
        path = ITEMS.replace("configmaps", "serviceaccounts")
        assert (await shard.call("POST", path, MASTER, other, "dryRun=All"))[0] == 201
        for _ in range(2):
            with counted_turns(monkeypatch) as turn:
                status, answer = await shard.call("POST", ITEMS, MASTER, config_map("x"), "dryRun=All")
            assert status == 201, answer
            assert 0 < turn.longest < LINES_OF_A_TURN, f"{turn.longest} lines in one turn, most of them in {turn.where}"
    calls.close()
