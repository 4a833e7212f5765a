"""Makes the encoded list from the encoded items. The bytes are the same as if the whole list were encoded at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import orjson

from tenantry.apiserver.negotiation import YAML
from tenantry.base.time_slices import turns
from tenantry.kube.codec import yaml_codec
from tenantry.kube.objects import Object
from tenantry.storage.record import Record

_PIECE_BYTES = 2 << 20
"""About how many bytes are joined to one piece. Copying so much takes about half a millisecond, and the C library takes the block
from its heaps (`tenantry.base.allocator`): new pages take longer than the copy. Larger pieces compress better and need the
interpreter less often."""
_FEW = 2_000
"""Items that are handled together, and joined at once if they are small."""
_RUN = 128
"""Items whose sizes are summed up together."""


@dataclass(frozen=True, slots=True)
class Items:
    """The text before, between and after the items, the text of a list without items (`empty`), and how one item is encoded."""

    before: bytes
    between: bytes
    behind: bytes
    empty: bytes
    item: Callable[[Object], bytes]


def list_text(whole: Object, key: str, media_type: str, *, pretty: bool) -> Items:
    """The frame of the list `whole`. Its items will be under `key`, which is its last key and has an empty list for now."""
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
    """The items of several parts, for parts whose values are joined at once: up to `_FEW` items with up to `_PIECE_BYTES`
    together, or one larger item.

    `bytes_max` is an upper bound for the bytes of all items, where one is known. It saves the sizes of single items, which take a
    tenth of the time of a list.
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
    """The whole list in pieces of about `_PIECE_BYTES`. The items are consumed."""
    if not items:
        return (text.empty,)
    # One copy and not three: the ends of the list are joined together with the items.
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
    """Yields how many neighbouring items are small enough to be joined together, with their bytes. Large items are alone."""
    for at in range(0, len(items), _RUN):
        run = items[at : at + _RUN]
        size = sum(map(len, run))
        if size < _PIECE_BYTES:
            yield len(run), size
        else:
            yield from ((1, len(item)) for item in run)
