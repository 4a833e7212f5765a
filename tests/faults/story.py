"""Histories for the checker, told step by step."""

from __future__ import annotations

from itertools import count
from typing import Any

from tenantry.storage import resource_version
from tests.faults.checker import check
from tests.faults.log import Entry, Item, Opened, Operation, Owned, Stored, Watched

C, D = "aaa0000000000001", "aab0000000000001"


def v(revision: int, index: int = 0) -> int:
    return resource_version.make(1, revision, index)


class Story:
    """What happened, told in order: each step takes a second, if it says nothing else."""

    def __init__(self) -> None:
        self.entries: list[Entry] = [Owned(1, "one", "aaa", "aab", "A", 1), Owned(1, "two", "aab", "aac", "B", 1)]
        self.seconds = count(1)
        self.values = count(1)

    def rules(self) -> set[str]:
        return {violation.rule for violation in check(self.entries).violations}

    def own(self, revision: int, owner: str, generation: int = 2) -> None:
        self.entries.append(Owned(revision, "one", "aaa", "aab", owner, generation))

    def did(self, kind: Any, name: str = "k", *, at: tuple[float, float] | None = None, **how: Any) -> Operation:
        second = float(next(self.seconds))
        began, ended = at or (second, second + 0.5)
        operation = Operation(
            **{"process": 1, "kind": kind, "cluster": C, "name": name, "began": began, "ended": ended, "outcome": "ok", **how}
        )
        self.entries.append(operation)
        return operation

    def stored(self, revision: int, value: str | None, name: str = "k", *, writer: str = "A", index: int = 0, **how: Any) -> int:
        version = v(revision, index)
        self.entries.append(
            Stored(
                **{"revision": revision, "version": version, "cluster": C, "name": name, "value": value, "writer": writer, **how}
            )
        )
        return version

    def wrote(
        self, revision: int, kind: Any = "create", name: str = "k", *, writer: str = "A", index: int = 0, **how: Any
    ) -> int:
        """A write that was answered, and is in etcd."""
        value = None if kind == "delete" else f"v{next(self.values)}"
        version = self.stored(revision, value, name, writer=writer, index=index)
        self.did(kind, name, value=value or "", version=version if value else 0, **how)
        return version

    def got(self, version: int, value: str, name: str = "k", **how: Any) -> None:
        self.did("get", name, version=version, value=value, present=True, status=200, **how)

    def absent(self, name: str = "k", **how: Any) -> None:
        self.did("get", name, present=False, status=404, **how)

    def listed(self, version: int, *items: tuple[str, int, str], **how: Any) -> None:
        self.did("list", "", version=version, items=tuple(Item(C, *item) for item in items), **how)

    def opened(self, version: int, *, relisted: bool = False, view: bool = False) -> None:
        self.entries.append(Opened(1, (C,), version, float(next(self.seconds)), relisted, view))

    def watched(self, kind: Any, version: int, value: str = "", name: str = "k", cluster: str = C) -> None:
        where = {} if kind == "BOOKMARK" else {"cluster": cluster, "name": name}
        self.entries.append(Watched(1, float(next(self.seconds)), kind, version, value=value, **where))
