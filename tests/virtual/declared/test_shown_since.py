"""Since which version a range shows a declaration."""

from __future__ import annotations

import pytest

from tenantry.kube.status import StatusError
from tenantry.storage.keys import Key
from tenantry.storage.memory import MemoryStore
from tenantry.storage.range import Range
from tenantry.storage.reader import Reader
from tenantry.virtual.declared.shown_since import ShownSince
from tests.support.ranges import cell_on, create, head_of

VIEW = ("rprovider", "shown")


class Reloading(Reader):
    """Loads its range again while the version is raised, as after a compaction."""

    reloads = True

    async def raise_version(self, range_: Range, key: Key, value: bytes) -> None:
        await super().raise_version(range_, key, value)
        if self.reloads:
            self.reloads = False
            await self.release("root")
            await self.load("root", "r", "t")


async def test_a_range_that_is_loaded_again_meanwhile_is_marked_again() -> None:
    store = MemoryStore()
    owner = cell_on(store)
    await owner.acquire("root", "r", "t")
    await owner.commit([create("one")])
    reader, shown = Reloading(store, head_of), ShownSince()
    before = await reader.load("root", "r", "t")
    with pytest.raises(StatusError) as refused:
        await shown.show(reader, before, VIEW, 1_000_000)
    assert refused.value.code == 503
    now = reader.ranges["root"]
    assert now is not before and not shown.is_shown(now, VIEW, 1_000_000)
    await shown.show(reader, now, VIEW, 1_000_000)
    assert shown.is_shown(now, VIEW, 1_000_000)
    await reader.close()
    await owner.close()
    await store.close()
