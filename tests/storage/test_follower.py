"""What a follower delivers: all there is, then every change once and in order, whatever happens to its watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import pytest

from tenantry.base.broadcast import Broadcast
from tenantry.storage import follower as followers
from tenantry.storage.follower import Follower, gathered
from tenantry.storage.memory import MemoryStore
from tenantry.storage.store import Batch, KeyValue, Page, Put, Unavailable
from tests.support.patience import PATIENCE_SECONDS
from tests.support.waiting import quiet

PART = (b"/a/", b"/b/")


class Received:
    """What a receiver was given, in order. `raises`: how often it still raises at a change."""

    def __init__(self) -> None:
        self.loads: list[list[bytes]] = []
        self.changes: list[bytes] = []
        self.revisions: list[int] = []
        self.raises = 0
        self.news = asyncio.Event()

    def loaded(self, kvs: Sequence[KeyValue], revision: int) -> None:
        self.loads.append([kv.key for kv in kvs])
        self.revisions.append(revision)
        self.news.set()

    def changed(self, batch: Batch) -> None:
        if self.raises:
            self.raises -= 1
            raise RuntimeError("a bug of the receiver")
        self.changes += [event.kv.key for event in batch.events]
        self.revisions.append(batch.revision)
        self.news.set()

    def follower(self, store: MemoryStore) -> Follower:
        return Follower(store, [PART], load=gathered(self.loaded), changed=self.changed, name="a test")

    async def until(self, key: bytes) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while key not in self.changes and key not in [key for load in self.loads for key in load]:
                self.news.clear()
                await self.news.wait()


class Breaking(MemoryStore):
    """A store whose watches break after each batch, and begin earlier than they were asked to."""

    async def watch(
        self, start: bytes, end: bytes, *, from_revision: int, asked: Broadcast[[]] | None = None, previous: bool = True
    ) -> AsyncGenerator[Batch, None]:
        async for batch in super().watch(start, end, from_revision=max(1, from_revision - 2), asked=asked, previous=previous):
            yield batch
            if batch.events and batch.revision >= from_revision:
                raise Unavailable("it broke")


async def put(store: MemoryStore, *keys: bytes) -> int:
    revision = 0
    for key in keys:
        revision = await store.commit([], [Put(key, b"x")], [])
    return revision


async def test_a_watch_that_breaks_and_repeats_itself_delivers_everything_once_in_order() -> None:
    store, received = Breaking(), Received()
    await put(store, b"/a/0")
    following = received.follower(store)
    await following.start()
    for number in range(1, 6):
        await put(store, b"/a/%d" % number)
    await received.until(b"/a/5")
    await following.stop()
    assert received.loads == [[b"/a/0"]]
    assert received.changes == [b"/a/%d" % number for number in range(1, 6)]
    assert received.revisions == sorted(received.revisions)


async def test_what_was_compacted_meanwhile_is_loaded_again() -> None:
    store, received = Breaking(), Received()
    following = received.follower(store)
    await following.start()
    await put(store, b"/a/1")
    await received.until(b"/a/1")
    await store.compact(await put(store, b"/a/2", b"/a/3"))
    await received.until(b"/a/3")
    await following.stop()
    assert received.loads[-1] == [b"/a/1", b"/a/2", b"/a/3"]


async def test_a_receiver_that_raises_gets_all_again() -> None:
    store, received = MemoryStore(), Received()
    following = received.follower(store)
    await following.start()
    received.raises = 1
    await put(store, b"/a/1")
    await received.until(b"/a/1")
    assert following.following
    await following.stop()
    assert received.loads == [[], [b"/a/1"]]
    assert not following.following


async def test_a_revision_is_reached_before_the_start_and_beside_the_watch() -> None:
    store, received = MemoryStore(), Received()
    following = received.follower(store)
    await following.reached(await put(store, b"/a/1"))
    assert received.loads == [[b"/a/1"]]
    await following.reached(await put(store, b"/a/2", b"/c/elsewhere"))
    await put(store, b"/a/3")
    await following.start()
    assert received.changes == [b"/a/2", b"/a/3"], "all that there was at the start"
    revision = await put(store, b"/a/4")
    await asyncio.gather(following.reached(revision), following.reached(revision))
    await put(store, b"/a/5")
    await received.until(b"/a/5")
    await following.stop()
    assert received.loads == [[b"/a/1"]]
    assert received.changes == [b"/a/2", b"/a/3", b"/a/4", b"/a/5"]
    assert received.revisions == sorted(received.revisions)


async def test_nothing_is_delivered_during_a_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followers, "PAGE_KEYS", 1)
    store = MemoryStore()
    await put(store, b"/a/1", b"/a/2")
    loading, go_on = asyncio.Event(), asyncio.Event()
    order: list[str] = []

    async def load(pages: AsyncIterator[Page]) -> None:
        async for page in pages:
            order.append(f"page {len(page.kvs)}")
            loading.set()
            await go_on.wait()
        order.append("loaded")

    following = Follower(store, [PART], load=load, changed=lambda batch: order.append("changed"), name="a test")
    starting = asyncio.create_task(following.start())
    await loading.wait()
    reaching = asyncio.create_task(following.reached(await put(store, b"/a/3")))
    await quiet()
    assert order == ["page 1"]
    go_on.set()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(starting, reaching)
    await following.stop()
    assert [entry for entry in order if entry != "changed"] == ["page 1", "page 1", "loaded"]
    assert order.index("loaded") < order.index("changed")
