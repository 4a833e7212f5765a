"""A list is the same whatever the parts that it is written in, and none of these is long because objects are large."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.apiserver.verbs import list_text
from tenantry.apiserver.verbs.list_text import pieces_of
from tenantry.storage.keys import Key
from tenantry.storage.record import NO_LABELS, Head, Record
from tests.apiserver.kit import Server, cm, thing

CMS = "/api/v1/namespaces/default/configmaps"
THINGS = "/apis/test.example/v1/namespaces/default/things"


@given(sizes=st.lists(st.integers(0, 40), max_size=40), few=st.integers(1, 9))
def test_parts(sizes: list[int], few: int) -> None:
    records = [Record(Key("c", "r", "", str(n)), b"x" * size, n, Head("", NO_LABELS)) for n, size in enumerate(sizes)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(list_text, "_PIECE_BYTES", 50)
        patch.setattr(list_text, "_FEW", few)
        parts = list(pieces_of(records))
    assert [record for part in parts for record in part] == records
    for part in parts:
        assert 1 <= len(part) <= few
        assert len(part) == 1 or sum(len(record.value) for record in part) <= 50


@pytest.mark.parametrize("path", [CMS, THINGS])
@pytest.mark.parametrize(
    "accept", ["application/json", "application/yaml", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"]
)
async def test_the_text_is_the_same_in_parts(server: Server, path: str, accept: str, monkeypatch: pytest.MonkeyPatch) -> None:
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
