"""What the store keeps of ranges, of shards' sessions, and of their loads.

A range's row is put in the same transaction as its fence, with the same owner and generation: whoever follows rows and sessions
sees every change of owner in the store's order, by one watch. What proves ownership is the fence alone.
"""

from __future__ import annotations

from typing import Generic, Literal, NamedTuple, TypeVar

import msgspec

from tenantry.storage.keys import LOADS, RANGES, REACH, SESSIONS


class RangeRow(msgspec.Struct, frozen=True):
    """`/ranges/<name>`. `owner` is a shard's uid, empty while there is none; `generation` counts the owners that it had.

    `target` is the uid of the shard that is to own it next. A living owner that sees one stops serving the range, then puts the
    row without an owner, and only then is the fence rewritten: an owner answers reads from memory while its session lives, so
    it must not be replaced before it knows.
    """

    start: str
    end: str
    capacity: int
    labels: dict[str, str] = {}
    owner: str = ""
    generation: int = 0
    target: str = ""


class SessionRow(msgspec.Struct, frozen=True):
    """`/sessions/<uid>`, leased: a living shard. `lease` is that lease, so that rows which others put about the session can end
    with it."""

    name: str
    url: str
    lease: int
    state: Literal["serving", "draining"] = "serving"


class RangeLoad(msgspec.Struct, frozen=True):
    """`requests` is the number in one second, lately."""

    tenants: int = 0
    objects: int = 0
    requests: float = 0.0


class LoadRow(msgspec.Struct, frozen=True):
    """`/loads/<uid>`, leased like the session: what the shard's ranges hold, by their names."""

    ranges: dict[str, RangeLoad]


class ReachRow(msgspec.Struct, frozen=True):
    """`/reach/<uid>`, leased: which shards a gateway or another shard reached when it last tried, and why it did not reach the
    others, both by uids. `clock_seconds`: when it was put, since the epoch, by the clock of who put it."""

    name: str
    clock_seconds: float
    reached: list[str] = []
    unreached: dict[str, str] = {}


class OpenedRow(msgspec.Struct, frozen=True):
    """`/ranges-opened`: put whenever a range is opened, so that comparing it proves that all ranges are known.

    `number` is the last one that a name was made of; names are not used twice.
    """

    number: int


Row = TypeVar("Row", bound=msgspec.Struct)


class Stored(NamedTuple, Generic[Row]):
    """A row with the store's revisions, for transactions that compare it."""

    row: Row
    mod_revision: int
    create_revision: int


def encode(row: msgspec.Struct) -> bytes:
    return msgspec.json.encode(row)


def decode(value: bytes, kind: type[Row]) -> Row:
    """Raises ValueError. Fields that are not known are ignored: a newer version may have written them."""
    try:
        return msgspec.json.decode(value, type=kind)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a {kind.__name__}: {value!r}") from error


def range_key(name: str) -> bytes:
    return f"{RANGES}{name}".encode()


def session_key(uid: str) -> bytes:
    return f"{SESSIONS}{uid}".encode()


def drain_key(uid: str) -> bytes:
    """Exists while an operator wants that shard to be emptied."""
    return f"{SESSIONS}{uid}/drain".encode()


def reach_key(uid: str) -> bytes:
    return f"{REACH}{uid}".encode()


def load_key(uid: str) -> bytes:
    return f"{LOADS}{uid}".encode()
