"""Expressions of tenants that cost much, on objects of tenants that are large."""

from __future__ import annotations

import threading
from typing import Any

import orjson
import pytest

from tenantry.kube.objects import Object
from tenantry.kube.schema import cel_expression
from tenantry.kube.schema.cel_expression import RUN_LIMIT
from tenantry.storage.keys import Key
from tenantry.tenancy.resources import CONFIG_MAPS as STORED
from tenantry.virtual.declared import evaluation
from tests.growth.turns import counted_turns
from tests.support.tenancies import ServedShard
from tests.virtual.declared.observatory import CONFIG_MAPS, NEAR, READER, config_map, config_maps, observatory, post
from tests.virtual.watching import Watch

MANY = 60
COSTLY: Object = {**CONFIG_MAPS, "filter": "object.data.all(a, object.data.all(b, object.data[a].size() > 0))"}
"""A hundred keys cost more than is allowed for one object."""


def keys(number: int) -> dict[str, str]:
    return {f"k{n}": "x" for n in range(number)}


@pytest.mark.parametrize(
    ("field", "entry"),
    [
        ("filter", {"filter": "object.data.all(a, object.data.all(b, object.data.all(c, a == b || b == c)))"}),
        ("filter", {"filter": "object.data.exists(a, nosuch)"}),
        ("show", {"show": "{'a': object.l.map(a, object.l.map(b, object.l.map(c, a + b + c)))}"}),
        ("show", {"show": "'text'"}),
        ("show", {"show": "{'a': user.name}"}),
        ("filter", {"filter": "a" * 5000}),
    ],
)
async def test_refused_when_it_is_declared(field: str, entry: Any) -> None:
    async with ServedShard() as shard:
        await observatory(shard)
        status, answer = await post(shard, resources=[{**CONFIG_MAPS, **entry}])
        assert (status, answer["reason"]) == (422, "Invalid"), answer
        assert answer["details"]["causes"][0]["field"] == f"spec.resources[0].{field}"


@pytest.mark.parametrize(
    "spec",
    [
        {"access": {"expression": "object.a"}},
        {"access": {"expression": "user.name + 1"}},
        {"counts": [{"group": "a.b", "resource": "as", "kind": "A", "of": {**CONFIG_MAPS, "filter": "user.name == 'a'"}}]},
        {"resources": [{**CONFIG_MAPS, "show": "{}", "verbs": ["get", "update"]}]},
        {"resources": [{**CONFIG_MAPS, "show": "{}", "hiddenFields": ["data"]}]},
        {"resources": [{**CONFIG_MAPS, "hiddenFields": ["metadata.labels"]}]},
        {"resources": [{**CONFIG_MAPS, "labelSelector": {"matchExpressions": [{"key": "a", "operator": "Is"}]}}]},
        {"resources": [{**CONFIG_MAPS, "verbs": ["impersonate"]}]},
    ],
)
async def test_other_refusals(spec: Any) -> None:
    async with ServedShard() as shard:
        await observatory(shard)
        status, answer = await post(shard, **spec)
        assert (status, answer["reason"]) == (422, "Invalid"), answer


async def test_an_object_for_which_the_filter_costs_too_much_is_not_shown() -> None:
    async with ServedShard() as shard:
        await observatory(shard, resources=[COSTLY])
        await config_map(shard, "small", data=keys(10))
        await config_map(shard, "large", data=keys(200))
        before = evaluation.FAULTS.labels("filter")._value.get()
        status, found = await shard.call("GET", config_maps(), READER)
        assert (status, [each["metadata"]["name"] for each in found["items"]]) == (200, ["small"])
        assert evaluation.FAULTS.labels("filter")._value.get() > before


async def test_a_request_costs_no_more_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation.Spending.__init__, "__defaults__", (2 * RUN_LIMIT,))
    async with ServedShard() as shard:
        await observatory(shard, resources=[COSTLY])
        for number in range(4):
            await config_map(shard, f"large{number}", data=keys(200))
        status, answer = await shard.call("GET", config_maps(), READER)
        assert (status, answer["reason"]) == (413, "RequestEntityTooLarge"), answer
        # A watch has no limit: it goes on for as long as its client wants.
        async with Watch(shard, config_maps(), READER) as watch:
            await config_map(shard, "small", data=keys(3))
            assert await watch.next() == ("ADDED", "small")


@pytest.mark.parametrize("entry", [COSTLY, {**CONFIG_MAPS, "show": "{'a': object.data.map(a, object.data.map(b, b))}"}])
async def test_long_work_is_done_in_slices(monkeypatch: pytest.MonkeyPatch, entry: Any) -> None:
    """No turn evaluates more than the expressions of two objects, however many there are."""
    async with ServedShard() as shard:
        await observatory(shard, resources=[entry])
        for number in range(MANY):
            await config_map(shard, f"n{number}", data=keys(20))
        with counted_turns(monkeypatch) as one:
            status, _ = await shard.call("GET", config_maps(NEAR, obj="n0"), READER)
            assert status == 200
        with counted_turns(monkeypatch) as turn:
            status, found = await shard.call("GET", config_maps(), READER)
            assert (status, len(found["items"])) == (200, MANY)
        assert turn.longest < 2 * one.longest, turn.where
        with counted_turns(monkeypatch) as turn:
            async with Watch(shard, config_maps(), READER) as watch:
                for _ in range(MANY):
                    await watch.next()
        assert turn.longest < 2 * one.longest, turn.where


async def test_events_of_one_transaction_are_worked_on_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ServedShard() as shard:
        await observatory(shard, resources=[COSTLY])
        for number in range(MANY):
            await config_map(shard, f"n{number:02}", data=keys(20))
        range_ = shard.cell.range_of(NEAR)
        definition = shard.tenancy.definitions.config_maps
        async with Watch(shard, config_maps(), READER) as watch:
            for _ in range(MANY):
                await watch.next()

            def changed() -> list[Any]:
                out = []
                for number in range(MANY):
                    record = range_.get(Key(NEAR, STORED, "default", f"n{number:02}"))
                    assert record is not None
                    obj = {**orjson.loads(record.value), "data": keys(21)}
                    out.append(shard.tenancy.changes.updated(definition, record, obj))
                return out

            with counted_turns(monkeypatch) as one:
                await shard.call("GET", config_maps(NEAR, obj="n00"), READER)
            changes = changed()
            with counted_turns(monkeypatch) as turn:
                # Of the commit itself nothing is counted: it is the same for every watch.
                await shard.cell.commit(changes)
                assert [await watch.next() for _ in range(MANY)] == [("MODIFIED", f"n{number:02}") for number in range(MANY)]
            assert turn.longest < 3 * one.longest, (turn.longest, one.longest, turn.where)


async def test_long_expressions_are_compiled_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """When they are declared, and again in a shard that has not evaluated them yet."""
    places: list[bool] = []
    own = cel_expression.Compilation.__init__

    def noting(self: cel_expression.Compilation, text: str, variables: tuple[str, ...], **others: bool) -> None:
        places.append(threading.current_thread() is threading.main_thread())
        own(self, text, variables, **others)

    monkeypatch.setattr(cel_expression.Compilation, "__init__", noting)
    long = " && ".join(f"object.metadata.name != 'n{number}'" for number in range(50))
    entry = {**CONFIG_MAPS, "filter": long, "show": "{'a': [" + ",".join(["object.metadata.name"] * 60) + "]}"}
    async with ServedShard() as shard:
        await observatory(shard, resources=[entry], access={"expression": "'" + "x" * 300 + "' != user.name"})
        assert places and not any(places)
        await config_map(shard, "one")
        cel_expression._compilations.clear()
        places.clear()
        for path in (config_maps(), config_maps(NEAR, obj="one")):
            assert (await shard.call("GET", path, READER))[0] == 200
        assert len(places) == 3 and not any(places)
