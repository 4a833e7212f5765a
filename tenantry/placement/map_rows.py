"""The rows of the map in the store: ranges, sessions and loads of shards, and which shards are reachable.

The row and the fence of a range are put in one transaction, with the same owner and generation. So one watch of rows and
sessions shows every change of owner in the store's order. Only the fence proves ownership.
"""

from __future__ import annotations

from typing import Generic, Literal, NamedTuple, TypeVar

import msgspec

from tenantry.storage.keys import LOADS, RANGES, REACH, SESSIONS


class RangeRow(msgspec.Struct, frozen=True):
    """`/ranges/<name>`. `owner`: a shard's uid, empty while there is none. `generation`: the number of owners so far.

    `target`: the uid of the next owner. A living owner that sees a target stops serving the range and puts the row without an
    owner; after that, the registry rewrites the fence. The owner has to agree because it answers reads from memory as long as
    its session lives.
    """

    start: str
    end: str
    capacity: int
    labels: dict[str, str] = {}
    owner: str = ""
    generation: int = 0
    target: str = ""


class SessionRow(msgspec.Struct, frozen=True):
    """`/sessions/<uid>`, with a lease: a living shard. `lease`: the id of the lease, so that keys that other processes put about
    the session can expire with it."""

    name: str
    url: str
    lease: int
    state: Literal["serving", "draining"] = "serving"


class RangeLoad(msgspec.Struct, frozen=True):
    """The load of one range. `requests`: requests per second since the last report."""

    tenants: int = 0
    objects: int = 0
    requests: float = 0.0


class LoadRow(msgspec.Struct, frozen=True):
    """`/loads/<uid>`, with the lease of the session: the loads of the shard's ranges by name."""

    ranges: dict[str, RangeLoad]


class ReachRow(msgspec.Struct, frozen=True):
    """`/reach/<uid>`, with a lease: the report of a gateway or shard about the shards that it tried to reach.

    `reached`: the uids of the reachable shards. `unreached`: uid → the reason. `clock_seconds`: seconds since the epoch by the
    reporter's clock when the row was put.
    """

    name: str
    clock_seconds: float
    reached: list[str] = []
    unreached: dict[str, str] = {}


class OpenedRow(msgspec.Struct, frozen=True):
    """`/ranges-opened`: put whenever a range is opened. A transaction that compares it proves that its writer knows all ranges.

    `number`: the number in the name of the last range. Names are not reused.
    """

    number: int


Row = TypeVar("Row", bound=msgspec.Struct)


class Stored(NamedTuple, Generic[Row]):
    """A row with its revisions in the store, for transactions that compare them."""

    row: Row
    mod_revision: int
    create_revision: int


def encode(row: msgspec.Struct) -> bytes:
    return msgspec.json.encode(row)


def decode(value: bytes, kind: type[Row]) -> Row:
    """Decodes a row. Ignores unknown fields, because a newer version may have written them. Raises ValueError."""
    try:
        return msgspec.json.decode(value, type=kind)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a {kind.__name__}: {value!r}") from error


def range_key(name: str) -> bytes:
    return f"{RANGES}{name}".encode()


def session_key(uid: str) -> bytes:
    return f"{SESSIONS}{uid}".encode()


def drain_key(uid: str) -> bytes:
    """The key that exists while an operator drains the shard."""
    return f"{SESSIONS}{uid}/drain".encode()


def reach_key(uid: str) -> bytes:
    return f"{REACH}{uid}".encode()


def load_key(uid: str) -> bytes:
    return f"{LOADS}{uid}".encode()
