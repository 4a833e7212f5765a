"""The log of a round: every operation and its answer, everything that watches told, what was broken, and what etcd recorded.

One JSON object a line, only ever appended, so that a log is whole up to the moment when its writer died. Times are seconds of
the monotonic clock of the one process that made them all. The checker needs nothing else: `python -m tests.faults.checker LOG`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal, TypeAlias

import msgspec

HIDDEN = "hidden"
"""How the names of objects end that no view shows."""
Outcome = Literal["ok", "fail", "unknown"]
EventKind = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]


class Item(msgspec.Struct, frozen=True, array_like=True):
    """One object of a list."""

    cluster: str
    name: str
    version: int
    value: str


class Operation(msgspec.Struct, frozen=True, tag="operation", omit_defaults=True):
    """One request and its answer. The key is (`cluster`, `name`); a list has no name.

    `outcome`: "fail" says that it surely did nothing, "unknown" that it may have been carried out, or may yet be.
    `value`: what a write put or a read got. Every write puts another one. `base`: the resourceVersion that a write demanded, 0
    for none. `version`: the resourceVersion of the answer, where it has one. `status`: of HTTP, 0 where there was no answer.
    `present`: of a read that was answered: whether there was an object; of a refused write: what the refusal says about that.
    `shard`: who answered, if told. `view`: whether a view was asked.
    """

    process: int
    kind: Literal["create", "update", "delete", "get", "list"]
    cluster: str
    began: float
    ended: float
    outcome: Outcome
    name: str = ""
    value: str = ""
    base: int = 0
    version: int = 0
    status: int = 0
    present: bool | None = None
    items: tuple[Item, ...] = ()
    shard: str = ""
    reason: str = ""
    view: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.cluster, self.name

    @property
    def is_write(self) -> bool:
        return self.kind in ("create", "update", "delete")

    def __str__(self) -> str:
        return (
            f"{self.kind} {self.cluster}/{self.name} {self.value} by {self.process} in [{self.began:.4f}, {self.ended:.4f}]"
            f" -> {self.outcome} {self.status} at {self.version}"
        )


class Opened(msgspec.Struct, frozen=True, tag="opened", omit_defaults=True):
    """A stream of watch events begins, or goes on after its connection ended. `clusters`: what it watches.

    `relisted`: it could not go on from what it had seen, and begins anew from a list at `version`. `view`: whether it is one of a
    view.
    """

    stream: int
    clusters: tuple[str, ...]
    version: int
    at: float
    relisted: bool = False
    view: bool = False


class Watched(msgspec.Struct, frozen=True, tag="watched", omit_defaults=True):
    """What a stream told. A bookmark has a version only."""

    stream: int
    at: float
    kind: EventKind
    version: int
    cluster: str = ""
    name: str = ""
    value: str = ""


class Stored(msgspec.Struct, frozen=True, tag="stored", omit_defaults=True):
    """A write that etcd's own history shows. `value` None: a deletion. `writer`: the shard whose journal the same transaction
    put. `torn`: the value is not one that a single request wrote."""

    revision: int
    version: int
    cluster: str
    name: str
    value: str | None
    writer: str
    torn: bool = False


class Owned(msgspec.Struct, frozen=True, tag="owned", omit_defaults=True):
    """A range's fence as etcd's history shows it: from `revision` on, the clusters in `[start, end)` are `owner`'s."""

    revision: int
    range: str
    start: str
    end: str
    owner: str
    generation: int


class Fault(msgspec.Struct, frozen=True, tag="fault", omit_defaults=True):
    """What was broken."""

    kind: str
    target: str
    began: float
    ended: float


class TakenOver(msgspec.Struct, frozen=True, tag="taken over", omit_defaults=True):
    """How long after its owner was broken a range answered the first request that was sent since."""

    range: str
    fault: str
    seconds: float


Entry: TypeAlias = Operation | Opened | Watched | Stored | Owned | Fault | TakenOver
_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Operation | Opened | Watched | Stored | Owned | Fault | TakenOver)


class Log:
    """A context manager. What is added is in the file when `add` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Entry] = []
        self._file = path.open("ab", buffering=0)

    def __enter__(self) -> Log:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def add(self, *entries: Entry) -> None:
        self.entries.extend(entries)
        self._file.write(b"".join(_encoder.encode(entry) + b"\n" for entry in entries))


def read_log(path: Path) -> Iterator[Entry]:
    """The entries of a log; a last line that was cut off is left out. Raises msgspec.DecodeError."""
    yield from decode_lines(path.read_bytes().split(b"\n")[:-1])


def decode_lines(lines: Iterable[bytes]) -> Iterator[Entry]:
    for line in lines:
        yield _decoder.decode(line)


def now() -> float:
    return time.monotonic()
