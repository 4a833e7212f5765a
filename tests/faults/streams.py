"""Whether watches tell every event once and in order, over whatever reconnections."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import inf

from tests.faults.log import HIDDEN, Opened, Stored, Watched
from tests.faults.past import Past
from tests.faults.verdict import RELIST, STRANGER, WATCH, Verdict


def check_streams(past: Past, watched: Iterable[Opened | Watched], verdict: Verdict) -> None:
    streams: dict[int, list[Opened | Watched]] = defaultdict(list)
    for entry in watched:
        streams[entry.stream].append(entry)
    verdict.counts["streams"] += len(streams)
    for stream, entries in streams.items():
        _check_stream(past, stream, entries, verdict)


def _check_stream(past: Past, stream: int, entries: Sequence[Opened | Watched], verdict: Verdict) -> None:
    """From where the stream began to the end of the history: whoever made the log waited until the streams were quiet."""
    opened = entries[0]
    assert isinstance(opened, Opened)
    clusters = set(opened.clusters)
    expected = [
        stored for stored in past.stored if stored.cluster in clusters and not (opened.view and stored.name.endswith(HIDDEN))
    ]
    verdict.counts["streams of views"] += opened.view
    numbers = [stored.version for stored in expected]
    reached = opened.version
    at = bisect_right(numbers, reached)
    for entry in entries[1:]:
        if isinstance(entry, Opened):
            verdict.counts["resumed"] += 1
            if entry.relisted:
                verdict.wrong(RELIST, f"stream {stream} began anew at {entry.version}, having reached {reached}")
                reached = entry.version
                at = bisect_right(numbers, reached)
            continue
        due = numbers[at] if at < len(numbers) else inf
        what = f"stream {stream}: {entry.kind} {entry.cluster}/{entry.name} {entry.version}"
        if entry.kind == "BOOKMARK":
            if not reached <= entry.version < due:
                verdict.wrong(WATCH, f"{what}, having reached {reached}, with {due} due")
                at = max(at, bisect_right(numbers, entry.version))
            reached = max(reached, entry.version)
            continue
        verdict.counts["events"] += 1
        verdict.counts["events of views"] += opened.view
        if opened.view and (entry.cluster not in clusters or entry.name.endswith(HIDDEN)):
            verdict.wrong(STRANGER, what)
            continue
        if entry.version <= reached:
            verdict.wrong(WATCH, f"{what} again, or late, having reached {reached}")
            continue
        reached = entry.version
        if entry.version != due:
            verdict.wrong(WATCH, f"{what}, with {due} due")
            at = bisect_left(numbers, entry.version)
            if at == len(numbers) or numbers[at] != entry.version:
                continue
        _check_event(past, what, entry, expected[at], verdict)
        at += 1
    if at < len(expected):
        verdict.wrong(
            WATCH, f"stream {stream} never told the last {len(expected) - at} events, of which {numbers[at]} is the first"
        )


def _check_event(past: Past, what: str, entry: Watched, stored: Stored, verdict: Verdict) -> None:
    states = past.states((stored.cluster, stored.name))
    number = states.number(stored.version)
    assert number
    previous = states.values[number - 1]
    kind = "DELETED" if stored.value is None else "MODIFIED" if previous is not None else "ADDED"
    value = previous if stored.value is None else stored.value
    if (entry.kind, entry.cluster, entry.name, entry.value) != (kind, stored.cluster, stored.name, value):
        verdict.wrong(WATCH, f"{what} with {entry.value!r} is {kind} {stored.cluster}/{stored.name} with {value!r} in etcd")
