"""Exports by identity, whatever comes and goes; found without a look at all others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.kube.objects import Object
from tenantry.tenancy.exports.identity_index import IdentityIndex
from tests.growth.meter import lines
from tests.support.clusters import CLUSTER, ServedCluster


def export(identity: str) -> Object:
    return {"status": {"identityHash": identity}} if identity else {}


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.none() | st.sampled_from(["", "one", "two"])), max_size=12
    )
)
def test_exports_come_and_go_and_change_their_identity(changes: list[tuple[str, str, str | None]]) -> None:
    callbacks: list[Any] = []
    catalog: Any = SimpleNamespace(index=lambda resource, callback: callbacks.append(callback))
    identities = IdentityIndex(catalog)
    stored: dict[tuple[str, str], str] = {}
    for cluster, name, identity in changes:
        stored.pop((cluster, name), None)
        if identity is not None:
            stored[cluster, name] = identity
        callbacks[0]("apis.kcp.io/apiexports", cluster, name, export(identity) if identity is not None else None)
    for identity in ("one", "two"):
        assert list(identities.exports(identity)) == sorted(place for place, each in stored.items() if each == identity)
    assert list(identities.exports("")) == []


async def test_to_find_one_takes_the_same_among_many() -> None:
    async with ServedCluster() as made:
        await made.tenancy.runner.stop()

        async def add(name: str, identity: str) -> None:
            await made.put(CLUSTER, "apis.kcp.io", "apiexports", {"metadata": {"name": name}, "spec": {}, **export(identity)})

        await add("wanted", "one")
        first = lines(lambda: made.tenancy.exports.with_identity("one"))
        for number in range(100):
            await add(f"other-{number}", f"other-{number}")
        assert lines(lambda: made.tenancy.exports.with_identity("one")) <= first + 10
        assert [found.name for found in made.tenancy.exports.with_identity("one")] == ["wanted"]
