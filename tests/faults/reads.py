"""Whether reads are linearizable, key by key.

With the order of a key's writes known this is exact and cheap: every operation must be given a state of the key, such that
states never go back from an operation that ended to one that began later, and none is shown before it was asked for. To give each
operation, in the order of their beginnings, the earliest state that it may have had leaves the most room for the others, so
there is nothing to search (O(n log n), where histories without a known order take exponential time).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

from tests.faults.log import HIDDEN, Opened, Operation, Watched
from tests.faults.past import Key, Past
from tests.faults.verdict import LIST, ORDER, STALE, STRANGER, WRONG, Verdict

NO_VERSION = -1


@dataclass(slots=True)
class _Seen:
    """What somebody learned about a key between two moments: that it was in a state, or in one of a sort.

    `exact` is that state's number. Where there is none, `present` says whether the object existed, and `not_version` which state
    it was not in. `how`: "watched", which may be late, but holds for all that begins afterwards.
    """

    began: float
    ended: float
    what: str
    how: Literal["read", "write", "watched"]
    exact: int | None = None
    present: bool = False
    not_version: int = NO_VERSION
    view: bool = False


def check_reads(past: Past, operations: Sequence[Operation], watched: Iterable[Opened | Watched], verdict: Verdict) -> None:
    seen: dict[Key, list[_Seen]] = defaultdict(list)
    for operation in operations:
        if operation.kind == "list":
            for key, what in _seen_by_list(past, operation):
                seen[key].append(what)
        elif operation.view and operation.name.endswith(HIDDEN):
            if operation.present:
                verdict.wrong(STRANGER, str(operation))
        elif (found := _seen_by(past, operation, verdict)) is not None:
            seen[operation.key].append(found)
    of_views: set[int] = set()
    for entry in watched:
        if isinstance(entry, Opened):
            if entry.view:
                of_views.add(entry.stream)
            continue
        key = (entry.cluster, entry.name)
        number = past.states(key).number(entry.version)
        if entry.kind != "BOOKMARK" and number is not None:
            seen[key].append(_Seen(entry.at, entry.at, "", "watched", number, view=entry.stream in of_views))
    for key, found_ in seen.items():
        _check_key(past, key, [what for what in found_ if not what.view], verdict)
        if any(what.view for what in found_):
            _check_views(past, key, found_, verdict)


def check_lists(past: Past, operations: Sequence[Operation], verdict: Verdict) -> None:
    """A list is exactly the state at its version, and that is not before any write that was answered before it began."""
    answered: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for operation in operations:
        if operation.is_write and operation.outcome == "ok" and (stored := past.effect(operation)) is not None:
            answered[operation.cluster].append((operation.ended, stored.version))
    for writes in answered.values():
        writes.sort()
        newest = 0
        for at, (ended, version) in enumerate(writes):
            newest = max(newest, version)
            writes[at] = (ended, newest)
    for operation in operations:
        if operation.kind == "list" and operation.outcome == "ok":
            _check_list(past, operation, answered.get(operation.cluster, []), verdict)


def _check_list(past: Past, operation: Operation, answered: Sequence[tuple[float, int]], verdict: Verdict) -> None:
    at = bisect_left(answered, (operation.began, 0)) - 1
    if at >= 0 and operation.version < answered[at][1]:
        verdict.wrong(STALE, f"{operation} is older than {answered[at][1]}, which had been answered")
    shown = {(item.cluster, item.name): (item.version, item.value) for item in operation.items}
    if len(shown) != len(operation.items):
        verdict.wrong(LIST, f"{operation} shows an object twice")
    if operation.view and (strangers := [key for key in shown if key[1].endswith(HIDDEN)]):
        verdict.wrong(STRANGER, f"{operation} shows {strangers}")
        shown = {key: what for key, what in shown.items() if key not in strangers}
    expected = {}
    for key in past.keys(operation.cluster, view=operation.view):
        states = past.states(key)
        number = states.at(operation.version)
        value = states.values[number]
        if value is not None:
            expected[key] = (states.versions[number], value)
    if shown != expected:
        differing = sorted(set(shown.items()) ^ set(expected.items()))
        verdict.wrong(LIST, f"{operation} differs from etcd's state at its version in {differing[:4]}")


def _seen_by(past: Past, operation: Operation, verdict: Verdict) -> _Seen | None:
    states = past.states(operation.key)
    began, ended, what = operation.began, operation.ended, str(operation)
    if operation.kind == "get":
        if operation.outcome != "ok":
            return None
        if not operation.present:
            return _Seen(began, ended, what, "read", view=operation.view)
        number = states.number(operation.version)
        if number is None or states.values[number] != operation.value:
            verdict.wrong(WRONG, f"{what} is not in etcd's history")
            return None
        return _Seen(began, ended, what, "read", number, view=operation.view)
    if operation.outcome == "ok":
        stored = past.effect(operation)
        number = states.number(stored.version) if stored is not None else None
        return _Seen(began, ended, what, "write", number) if number is not None else None
    if operation.outcome == "fail" and operation.present is not None:
        excluded = operation.base if operation.present and operation.base else NO_VERSION
        return _Seen(began, ended, what, "read", present=operation.present, not_version=excluded)
    return None


def _seen_by_list(past: Past, operation: Operation) -> Iterator[tuple[Key, _Seen]]:
    """A list shows the state of every key of its cluster at its version."""
    if operation.outcome == "ok":
        what = str(operation)
        for key in past.keys(operation.cluster, view=operation.view):
            number = past.states(key).at(operation.version)
            yield key, _Seen(operation.began, operation.ended, what, "read", number, view=operation.view)


def _check_views(past: Past, key: Key, seen: Sequence[_Seen], verdict: Verdict) -> None:
    """A read of a view shows what anybody knew before. The other way round nothing is promised: a view shows what etcd has, which
    an owner whom the answer of etcd has not reached does not know yet. So only what views showed is judged here, and of what
    owners showed, only states that are known exactly count."""
    known = [what for what in seen if what.view or what.exact is not None]
    _check_key(past, key, known, verdict, views_alone=True)


def _check_key(past: Past, key: Key, seen: list[_Seen], verdict: Verdict, *, views_alone: bool = False) -> None:
    states = past.states(key)
    asked_at = [past.asked_at.get((key, version), -inf) for version in states.versions]
    seen.sort(key=lambda what: what.began)
    by_end = sorted(range(len(seen)), key=lambda place: seen[place].ended)
    found: dict[int, int] = {}
    at = lowest = 0
    for place, what in enumerate(seen):
        # Whatever ended before this began, began before it too: its state is found already.
        while at < len(by_end) and seen[by_end[at]].ended < what.began:
            lowest = max(lowest, found.get(by_end[at], 0))
            at += 1
        known = states.versions[lowest]
        if what.exact is not None:
            found[place] = what.exact
            shown = states.versions[what.exact]
            if views_alone and not what.view:
                continue
            if what.how == "read" and what.exact < lowest:
                verdict.wrong(STALE, f"{what.what} shows {shown}, after {known} was known")
            elif what.how == "write" and what.exact <= lowest:
                verdict.wrong(ORDER, f"{what.what} took effect as {shown}, after {known} was known")
            elif asked_at[what.exact] > what.ended:
                verdict.wrong(WRONG, f"{what.what or f'a watch of {key}'} shows {shown} before it was asked for")
            continue
        for number in range(lowest, len(states.versions)):
            fits = (states.values[number] is not None) == what.present and states.versions[number] != what.not_version
            if fits and asked_at[number] <= what.ended:
                found[place] = number
                break
        else:
            verdict.wrong(STALE, f"{what.what} contradicts every state of {key} since {known}")
