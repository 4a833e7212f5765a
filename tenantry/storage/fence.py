"""The fence of a range: the key of the store that proves who may write the range. Every commit to the range compares its
mod_revision.

Only a change of owner writes a fence: any put to it stops the owner, whatever the value is. A fence has no lease: when a session
ends, the registry decides whether the range gets another owner.
"""

from __future__ import annotations

import msgspec

from tenantry.storage.keys import FENCES
from tenantry.storage.store import Compare, Indeterminate, Put, Store


class FenceValue(msgspec.Struct, frozen=True):
    """The value of a fence. `owner`: the uid of a shard. `generation`: how many owners the range has had, this one included."""

    owner: str
    generation: int

    def encode(self) -> bytes:
        return msgspec.json.encode(self)


def decode_fence(value: bytes) -> FenceValue:
    """Decodes the value of a fence. Raises ValueError."""
    try:
        return msgspec.json.decode(value, type=FenceValue)
    except msgspec.DecodeError as error:
        raise ValueError(f"not the value of a fence: {value!r}") from error


class FenceState(msgspec.Struct, frozen=True):
    """A fence as it was read. `mod_revision`: what a commit compares, 0 if the fence does not exist. `create_revision`: its first
    revision. Commits to the range compare its fence, so nothing in the range is older."""

    name: str
    mod_revision: int
    value: FenceValue | None
    create_revision: int = 0

    @property
    def condition(self) -> Compare:
        return Compare(fence_key(self.name), self.mod_revision)


def fence_key(name: str) -> bytes:
    return f"{FENCES}{name}".encode()


async def read_fence(store: Store, name: str) -> FenceState:
    """Reads the fence of a range. Raises Unavailable."""
    key = fence_key(name)
    page = await store.read(key, key + b"\0")
    if not page.kvs:
        return FenceState(name, 0, None)
    found = page.kvs[0]
    return FenceState(name, found.mod_revision, decode_fence(found.value), found.create_revision)


async def rewrite_fence(store: Store, seen: FenceState, owner: str) -> FenceState:
    """Writes `owner` into the fence if it has not changed since `seen`. Raises Fenced (it has), Indeterminate, Unavailable."""
    value = FenceValue(owner, seen.value.generation + 1 if seen.value else 1)
    try:
        revision = await store.commit([seen.condition], [Put(fence_key(seen.name), value.encode())], [])
    except Indeterminate:
        now = await read_fence(store, seen.name)
        if now.value != value:
            raise
        return now
    return FenceState(seen.name, revision, value, seen.create_revision or revision)


async def acquire_fence(store: Store, name: str, owner: str) -> FenceState:
    """Makes `owner` the owner of a range, whichever shard owns it now. Returns the fence. Raises the errors of
    `rewrite_fence`."""
    seen = await read_fence(store, name)
    if seen.value is not None and seen.value.owner == owner:
        return seen
    return await rewrite_fence(store, seen, owner)
