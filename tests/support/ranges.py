"""Ranges in the memory of a cell, over any store: what is below apiserver and tenancy."""

from __future__ import annotations

from typing import Any

from tenantry.apiserver.records import parse_head
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.memory import MemoryStore
from tenantry.storage.range import Range
from tenantry.storage.record import Change, Head, Record
from tenantry.storage.store import Store

RESOURCE = "core/configmaps"


def head_of(key: Key, value: bytes) -> Head:
    """What a test of storage says of an object, whatever its value is."""
    return Head(uid=f"uid of {key.name}")


def key(name: str, cluster: str = "root") -> Key:
    return Key(cluster, RESOURCE, "default", name)


def create(name: str, value: bytes = b"{}", cluster: str = "root", **more: Any) -> Change:
    return Change(key(name, cluster), value, Head(), None, **more)


def cell_on(store: Store, uid: str = "shard-1", **settings: Any) -> Cell:
    return Cell(store, uid, head_of, **settings)


def there(record: Record | None) -> Record:
    assert record is not None
    return record


async def root_range(store: Store | None = None, uid: str = "shard-1") -> tuple[Cell, Range]:
    """A cell of the apiserver's, and in it the range in which every cluster of a new platform is."""
    cell = Cell(store or MemoryStore(), uid, parse_head)
    return cell, await cell.acquire("root", "r", "t")
