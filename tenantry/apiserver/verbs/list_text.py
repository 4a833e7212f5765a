"""The text of a list from the texts of its items, the same bytes as if the whole were written at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import orjson

from tenantry.apiserver.negotiation import YAML
from tenantry.apiserver.work import turns
from tenantry.kube.codec import yaml_codec
from tenantry.kube.objects import Object
from tenantry.storage.record import Record

_PIECE_BYTES = 2 << 20
"""What is joined at a time, with the run of items that exceeds it: a copy of about half a millisecond, and a block that the C
library takes from its heaps (`allocator`), as fresh pages take longer than the copy. Each piece is compressed by itself, and
after each the thread has to get the interpreter back."""
_FEW = 2_000
"""Items that are looked at together, and joined at once if they are small."""
_RUN = 128
"""Items whose sizes are looked at together."""


@dataclass(frozen=True, slots=True)
class Items:
    """What is before, between and behind the items, `empty` where there are none, and how one of them is written."""

    before: bytes
    between: bytes
    behind: bytes
    empty: bytes
    item: Callable[[Object], bytes]


def list_text(whole: Object, key: str, media_type: str, *, pretty: bool) -> Items:
    """The frame of `whole`, whose items will be under `key`: its last key, with an empty list for now."""
    if media_type == YAML:
        names = sorted(whole)
        at = names.index(key)
        first, last = ({name: whole[name] for name in some} for some in (names[:at], names[at + 1 :]))
        before, behind = (yaml_codec.encode(part) if part else b"" for part in (first, last))
        return Items(before + f"{key}:\n".encode(), b"", behind, yaml_codec.encode(whole), _yaml_item)
    if pretty:
        empty = orjson.dumps(whole, option=orjson.OPT_INDENT_2)
        return Items(empty[: -len(b"]\n}")] + b"\n    ", b",\n    ", b"\n  ]\n}", empty, _indented)
    empty = orjson.dumps(whole)
    return Items(empty[: -len(b"]}")], b",", b"]}", empty, orjson.dumps)


def _yaml_item(obj: Object) -> bytes:
    return yaml_codec.encode([obj])


def _indented(obj: Object) -> bytes:
    return orjson.dumps(obj, option=orjson.OPT_INDENT_2).replace(b"\n", b"\n    ")


def pieces_of(found: Sequence[Record], bytes_max: int | None = None) -> Iterator[Sequence[Record]]:
    """What is found in parts whose values are joined at once: up to `_FEW` with up to `_PIECE_BYTES`, or one that has more.

    `bytes_max`: all of them together have no more, where that is known: to look at each takes a tenth of what the list takes.
    """
    small = bytes_max is not None and bytes_max <= _PIECE_BYTES
    for at in range(0, len(found), _FEW):
        batch = found[at : at + _FEW] if len(found) > _FEW else found
        if small:
            yield batch
            continue
        sizes = [len(record.value) for record in batch]
        if sum(sizes) <= _PIECE_BYTES:
            yield batch
            continue
        start = total = 0
        for end, size in enumerate(sizes):
            if total + size > _PIECE_BYTES and start < end:
                yield batch[start:end]
                start, total = end, 0
            total += size
        yield batch[start:]


async def joined(text: Items, items: list[bytes]) -> Sequence[bytes]:
    """The whole in pieces of about `_PIECE_BYTES`. The items are used up."""
    if not items:
        return (text.empty,)
    # One copy of everything and not three: the ends are joined with the items.
    items[0] = text.before + items[0]
    items[-1] += text.behind
    if len(items) <= _FEW and sum(map(len, items)) < _PIECE_BYTES:
        return (text.between.join(items),)
    pieces: list[bytes] = []
    start, end, size = 0, 0, 0
    for run, run_bytes in _runs(items):
        end += run
        size += run_bytes
        if size >= _PIECE_BYTES:
            pieces.append(_piece(text, items, start, end))
            start, size = end, 0
            await turns.rest()
    if start < end:
        pieces.append(_piece(text, items, start, end))
    return pieces


def _piece(text: Items, items: list[bytes], start: int, end: int) -> bytes:
    if start:
        items[start] = text.between + items[start]
    return text.between.join(items[start:end])


def _runs(items: list[bytes]) -> Iterator[tuple[int, int]]:
    """How many neighbours are small together, and each of the others alone; with their bytes."""
    for at in range(0, len(items), _RUN):
        run = items[at : at + _RUN]
        size = sum(map(len, run))
        if size < _PIECE_BYTES:
            yield len(run), size
        else:
            yield from ((1, len(item)) for item in run)
