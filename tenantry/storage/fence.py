"""The key of the store that proves who may write a range. Its mod_revision is compared in every commit to the range.

Nothing but a change of owner writes a fence: any put to it, whatever the value, stops the owner. It carries no lease: a
session that ends only allows the registry to decide (reference: sharding §2).
"""

from __future__ import annotations

import msgspec

from tenantry.storage.keys import FENCES
from tenantry.storage.store import Fence, Indeterminate, Put, Store


class FenceValue(msgspec.Struct, frozen=True):
    """Who owns a range, and for the how-manyth time it changed hands."""

    owner: str
    generation: int

    def encode(self) -> bytes:
        return msgspec.json.encode(self)


def decode_fence(value: bytes) -> FenceValue:
    """Raises ValueError on anything that is not a fence."""
    try:
        return msgspec.json.decode(value, type=FenceValue)
    except msgspec.DecodeError as error:
        raise ValueError(f"not the value of a fence: {value!r}") from error


class StoredFence(msgspec.Struct, frozen=True):
    """A fence as it was seen: `mod_revision` is what a commit compares, 0 where there is none yet. `create_revision`: the first
    one. Commits to the range compare its fence, so nothing in it is older."""

    name: str
    mod_revision: int
    value: FenceValue | None
    create_revision: int = 0

    @property
    def condition(self) -> Fence:
        return Fence(fence_key(self.name), self.mod_revision)


def fence_key(name: str) -> bytes:
    return f"{FENCES}{name}".encode()


async def read_fence(store: Store, name: str) -> StoredFence:
    """The fence of a range as it is now. Raises Unavailable."""
    key = fence_key(name)
    page = await store.read(key, key + b"\0")
    if not page.kvs:
        return StoredFence(name, 0, None)
    found = page.kvs[0]
    return StoredFence(name, found.mod_revision, decode_fence(found.value), found.create_revision)


async def rewrite_fence(store: Store, seen: StoredFence, owner: str) -> StoredFence:
    """Makes `owner` the owner, if the fence still is as seen. Raises Fenced (it is not), Indeterminate, Unavailable."""
    value = FenceValue(owner, seen.value.generation + 1 if seen.value else 1)
    try:
        revision = await store.commit([seen.condition], [Put(fence_key(seen.name), value.encode())], [])
    except Indeterminate:
        now = await read_fence(store, seen.name)
        if now.value != value:
            raise
        return now
    return StoredFence(seen.name, revision, value, seen.create_revision or revision)


async def acquire_fence(store: Store, name: str, owner: str) -> StoredFence:
    """Makes `owner` the owner of a range, whoever owns it now; the fence. Raises as `rewrite_fence` does."""
    seen = await read_fence(store, name)
    if seen.value is not None and seen.value.owner == owner:
        return seen
    return await rewrite_fence(store, seen, owner)
