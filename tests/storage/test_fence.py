from __future__ import annotations

import pytest

from tenantry.storage.fence import FenceState, FenceValue, acquire_fence, decode_fence, read_fence, rewrite_fence
from tenantry.storage.store import CompareFailed, Indeterminate, Store
from tests.storage.faults import FaultyStore


def test_the_value_is_read_back() -> None:
    value = FenceValue("shard-1", 7)
    assert decode_fence(value.encode()) == value
    for wrong in (b"", b"{}", b"[]", b'{"owner":1,"generation":1}'):
        with pytest.raises(ValueError):
            decode_fence(wrong)


async def test_every_change_of_owner_is_a_new_generation_and_revision(store: Store) -> None:
    assert (await read_fence(store, "root")).mod_revision == 0
    one = await acquire_fence(store, "root", "a")
    again = await acquire_fence(store, "root", "a")
    two = await acquire_fence(store, "root", "b")
    assert one == again == await rewritten_by_nobody(store, one, two)
    assert (one.value, two.value) == (FenceValue("a", 1), FenceValue("b", 2))
    assert two.mod_revision > one.mod_revision


async def rewritten_by_nobody(store: Store, one: FenceState, two: FenceState) -> FenceState:
    """A taker that saw the old fence is refused and learns of the owner."""
    with pytest.raises(CompareFailed) as refused:
        await rewrite_fence(store, one, "c")
    assert refused.value.value is not None
    assert decode_fence(refused.value.value) == two.value
    return one


async def test_reading_says_what_became_of_a_lost_answer() -> None:
    store = FaultyStore()
    store.faults.append("lost after")
    fence = await acquire_fence(store, "root", "a")
    assert fence == await read_fence(store, "root")
    store.faults.append("lost before")
    with pytest.raises(Indeterminate):
        await acquire_fence(store, "root", "b")
