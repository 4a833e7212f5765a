"""A list is the same whatever the parts that it is written in, and none of these is long because objects are large."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.apiserver.verbs import list_text, respond
from tenantry.apiserver.verbs.list_text import pieces_of
from tenantry.storage.keys import Key
from tenantry.storage.record import NO_LABELS, Head, Record
from tests.apiserver.range_server import RangeServer, cm, thing

CMS = "/api/v1/namespaces/default/configmaps"
THINGS = "/apis/test.example/v1/namespaces/default/things"


@given(sizes=st.lists(st.integers(0, 40), max_size=40), few=st.integers(1, 9), more=st.none() | st.integers(0, 40))
def test_parts(sizes: list[int], few: int, more: int | None) -> None:
    records = [Record(Key("c", "r", "", str(n)), b"x" * size, n, Head("", NO_LABELS)) for n, size in enumerate(sizes)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(list_text, "_PIECE_BYTES", 50)
        patch.setattr(list_text, "_FEW", few)
        parts = list(pieces_of(records, None if more is None else sum(sizes) + more))
    assert [record for part in parts for record in part] == records
    for part in parts:
        assert 1 <= len(part) <= few
        assert len(part) == 1 or sum(len(record.value) for record in part) <= 50


@pytest.mark.parametrize("path", [CMS, THINGS])
@pytest.mark.parametrize(
    "accept", ["application/json", "application/yaml", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"]
)
async def test_the_text_is_the_same_in_parts(
    server: RangeServer, path: str, accept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(7):
        await server("POST", CMS, cm(f"n{number}", data={"k": "v" * 30 * number}))
        await server("POST", THINGS, thing(f"n{number}"))
    whole = (await server("GET", path, accept=accept)).raw
    one = (await server("GET", f"{path}?limit=1", accept=accept)).raw
    monkeypatch.setattr(list_text, "_PIECE_BYTES", 250)
    monkeypatch.setattr(list_text, "_FEW", 2)
    monkeypatch.setattr(list_text, "_RUN", 2)
    assert (await server("GET", path, accept=accept)).raw == whole
    assert (await server("GET", f"{path}?limit=1", accept=accept)).raw == one


async def test_what_a_cluster_holds_now_says_nothing_of_what_it_held(
    server: RangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of the past, and that of what was just deleted, may have more bytes than there are now."""
    known: list[tuple[int | None, int]] = []

    def noted(found: Sequence[Record], bytes_max: int | None = None) -> Iterator[Sequence[Record]]:
        known.append((bytes_max, sum(len(record.value) for record in found)))
        return pieces_of(found, bytes_max)

    monkeypatch.setattr(respond, "pieces_of", noted)
    for number in range(3):
        await server("POST", CMS, cm(f"n{number}", data={"k": "v" * 10_000}))
    version = (await server("GET", CMS)).rv
    for number in range(2):
        await server("DELETE", f"{CMS}/n{number}")
    assert len((await server("GET", f"{CMS}?resourceVersion={version}&resourceVersionMatch=Exact")).json["items"]) == 3
    await server("DELETE", CMS)
    sure = [bytes_max is not None for bytes_max, _ in known]
    assert sure == [True, False, False]
    assert all(bytes_max is None or size <= bytes_max for bytes_max, size in known)
