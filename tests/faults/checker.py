"""Judges the log of a round. Pure: no clock, no network, no randomness.

Every write's answer and etcd's own history give it a place in one order, that of resourceVersions; everything else is held
against that order. `python -m tests.faults.checker LOG…` judges logs again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tests.faults.log import Entry, Fault, Opened, Operation, Owned, Stored, TakenOver, Watched, read_log
from tests.faults.past import Key, Past
from tests.faults.reads import check_lists, check_reads
from tests.faults.streams import check_streams
from tests.faults.verdict import DOUBLED, LOST, ORDER, PHANTOM, Verdict

Write = tuple[Operation, Stored]


def check(entries: Iterable[Entry]) -> Verdict:
    """The verdict over one round's log. The keys of a round are new: before its first write none of them exists."""
    entries = list(entries)
    verdict = Verdict()
    operations = [entry for entry in entries if isinstance(entry, Operation)]
    past = Past(
        (entry for entry in entries if isinstance(entry, Stored)), (entry for entry in entries if isinstance(entry, Owned))
    )
    _count(entries, verdict)
    past.read(verdict)
    past.check_owners(verdict)
    writes = list(_check_writes(past, operations, verdict))
    past.asked_at.update(((operation.key, stored.version), operation.began) for operation, stored in writes)
    _check_order(writes, verdict)
    check_reads(past, operations, (entry for entry in entries if isinstance(entry, Opened | Watched)), verdict)
    check_lists(past, operations, verdict)
    check_streams(past, (entry for entry in entries if isinstance(entry, Opened | Watched)), verdict)
    return verdict


def _count(entries: Iterable[Entry], verdict: Verdict) -> None:
    counts = verdict.counts
    for entry in entries:
        if isinstance(entry, Operation):
            counts[entry.kind] += 1
            counts["reads of views"] += entry.view and entry.outcome == "ok"
            counts[entry.outcome] += 1
        elif isinstance(entry, Stored):
            counts["stored"] += 1
        elif isinstance(entry, Owned):
            counts["owners"] += 1
        elif isinstance(entry, Fault):
            counts[f"fault {entry.kind}"] += 1
        elif isinstance(entry, TakenOver):
            verdict.taken_over.setdefault(entry.fault, []).append(entry.seconds)


def _check_writes(past: Past, operations: Sequence[Operation], verdict: Verdict) -> Iterator[Write]:
    """Acknowledged writes are there, once; refused ones are not; what is there was asked for. Yields what took effect."""
    asked: dict[tuple[Key, int], Write] = {}
    deleted = {
        (operation.key, operation.base) for operation in operations if operation.kind == "delete" and operation.outcome == "ok"
    }
    for operation in operations:
        if not operation.is_write:
            continue
        stored = past.effect(operation)
        made = (operation.key, stored.version if stored is not None else 0)
        if operation.outcome == "ok":
            if stored is None:
                verdict.wrong(LOST, f"{operation} is not in etcd's history")
                continue
            if operation.version and operation.version != stored.version:
                verdict.wrong(LOST, f"{operation} is at {stored.version} in etcd's history")
            if (other := asked.get(made)) is not None and other[0].outcome == "ok":
                verdict.wrong(DOUBLED, f"{stored.version} is the answer to {operation} and to {other[0]}")
        elif stored is None:
            continue
        elif operation.outcome == "fail":
            # Of several deletions of one state, another one may have taken effect.
            if operation.kind != "delete":
                verdict.wrong(PHANTOM, f"{operation} is at {stored.version} in etcd's history all the same")
            continue
        elif operation.kind == "delete" and (operation.key, operation.base) in deleted:
            continue
        else:
            verdict.counts["came true"] += 1
        if made not in asked or operation.began < asked[made][0].began:
            asked[made] = (operation, stored)
    for stored in past.stored:
        made = ((stored.cluster, stored.name), stored.version)
        if made in asked:
            _check_base(past, *asked[made], verdict)
        else:
            verdict.wrong(PHANTOM, f"{stored.version} of {stored.cluster}/{stored.name}: {stored.value or 'deleted'}")
    yield from asked.values()


def _check_base(past: Past, operation: Operation, stored: Stored, verdict: Verdict) -> None:
    """A write took effect on the state that it was for."""
    states = past.states(operation.key)
    number = states.number(stored.version)
    assert number
    before, existed = states.versions[number - 1], states.values[number - 1] is not None
    if operation.kind == "create" and existed:
        verdict.wrong(LOST, f"{operation} was put over {before}")
    elif operation.kind != "create" and not existed:
        verdict.wrong(PHANTOM, f"{operation} changed an object that did not exist")
    elif operation.base and operation.base != before:
        verdict.wrong(LOST, f"{operation} was put over {before}")


def _check_order(writes: Sequence[Write], verdict: Verdict) -> None:
    """A write that was answered before another was sent has the lower version, on whatever keys: etcd counts for all."""
    answered = sorted((operation.ended, stored.version) for operation, stored in writes if operation.outcome == "ok")
    at = newest = 0
    for operation, stored in sorted(writes, key=lambda write: write[0].began):
        while at < len(answered) and answered[at][0] < operation.began:
            newest = max(newest, answered[at][1])
            at += 1
        if stored.version < newest:
            verdict.wrong(ORDER, f"{operation} took effect as {stored.version}, after {newest} had been answered")


def main(paths: Sequence[str]) -> int:
    verdict = Verdict()
    for path in paths:
        verdict.add(check(read_log(Path(path))))
    print(verdict.summary())
    return 0 if verdict else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
