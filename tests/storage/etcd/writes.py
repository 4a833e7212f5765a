"""Writing to an etcd whose answers get lost, and what a watch shows of it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from tenantry.storage.store import Compare, Indeterminate, Put, Store, Unavailable
from tests.support.patience import PATIENCE_SECONDS

ALL = (b"/", b"0")


async def put_surely(store: Store, key: bytes) -> None:
    """Puts a new key once, whatever happens to the answers. Raises TimeoutError where no try is answered for long."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                await store.commit([Compare(key, 0)], [Put(key, b"v")], [])
                return
            except Unavailable:
                continue
            except Indeterminate:
                try:
                    if (await store.read(key, key + b"\0")).kvs:
                        return
                except Unavailable:
                    continue


async def collect(store: Store, from_revision: int, last: bytes) -> list[tuple[int, bytes]]:
    """What a watch shows up to the put of `last`."""
    found: list[tuple[int, bytes]] = []
    async with aclosing(store.watch(*ALL, from_revision=from_revision)) as watch:
        async for batch in watch:
            found += [(batch.revision, event.kv.key) for event in batch.events]
            if found and found[-1][1] == last:
                break
    return found
