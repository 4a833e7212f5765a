"""The one order of all writes, as etcd's own history shows it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable

from tenantry.storage import resource_version
from tests.faults.log import HIDDEN, Operation, Owned, Stored
from tests.faults.verdict import DOUBLED, OLD_OWNER, ORDER, TORN, Verdict

Key = tuple[str, str]


class States:
    """The states of one key, in order. Number 0 is its absence in the beginning, at version 0; a value None is absence."""

    __slots__ = ("values", "versions")

    def __init__(self) -> None:
        self.versions: list[int] = [0]
        self.values: list[str | None] = [None]

    def number(self, version: int) -> int | None:
        """Of the state that this version made, if it made one."""
        at = bisect_left(self.versions, version)
        return at if at < len(self.versions) and self.versions[at] == version else None

    def at(self, version: int) -> int:
        """The number of the state that held when the store was at a version."""
        return bisect_right(self.versions, version) - 1


class Past:
    """`asked_at`: when the request was sent that made a version, for those that are known to belong to one request."""

    def __init__(self, stored: Iterable[Stored], owners: Iterable[Owned]) -> None:
        self.stored = sorted(stored, key=lambda entry: entry.version)
        self.owners = sorted(owners, key=lambda entry: entry.revision)
        self.asked_at: dict[tuple[Key, int], float] = {}
        self._intervals = sorted({(owned.start, owned.end, owned.range) for owned in self.owners})
        self._states: dict[Key, States] = {}
        self._by_value: dict[str, Stored] = {}
        self._deletion_of: dict[tuple[Key, int], Stored] = {}
        self._keys: dict[str, list[Key]] = defaultdict(list)

    def states(self, key: Key) -> States:
        return self._states.get(key) or States()

    def keys(self, cluster: str, *, view: bool = False) -> list[Key]:
        """The keys of a cluster that were ever written; of those a view shows, where `view`."""
        found = self._keys.get(cluster, [])
        return [key for key in found if not key[1].endswith(HIDDEN)] if view else found

    def effect(self, operation: Operation) -> Stored | None:
        """What a write did, if it did anything. Deletions of one state are not told apart."""
        if operation.kind == "delete":
            return self._deletion_of.get((operation.key, operation.base))
        stored = self._by_value.get(operation.value)
        return stored if stored is not None and (stored.cluster, stored.name) == operation.key else None

    def read(self, verdict: Verdict) -> None:
        """What etcd shows must itself be sound: versions that grow with its revisions, each value once, and whole."""
        last = 0
        known: set[tuple[str, int]] = set()
        for stored in self.stored:
            key = (stored.cluster, stored.name)
            if stored.version < last or resource_version.revision_of(stored.version) != stored.revision:
                verdict.wrong(ORDER, f"version {stored.version} of {key} is of revision {stored.revision} and follows {last}")
            last = stored.version
            # Deletions of one revision in two ranges have the same: nobody is told of both.
            place = (self._range_of(stored.cluster) if stored.value is None else "", stored.version)
            if place in known:
                verdict.wrong(ORDER, f"version {stored.version} of {key} is another write's, too")
            known.add(place)
            if key not in self._states:
                self._states[key] = States()
                self._keys[stored.cluster].append(key)
            states = self._states[key]
            if stored.value is None:
                self._deletion_of[key, states.versions[-1]] = stored
            elif (first := self._by_value.setdefault(stored.value, stored)) is not stored:
                verdict.wrong(DOUBLED, f"{stored.value} was written at {first.version} and at {stored.version}")
            if stored.torn:
                verdict.wrong(TORN, f"{key} at {stored.version} holds {stored.value!r} and something else")
            states.versions.append(stored.version)
            states.values.append(stored.value)

    def check_owners(self, verdict: Verdict) -> None:
        """No write by anybody but the shard that the range's fence named at that revision."""
        fences: dict[str, list[Owned]] = defaultdict(list)
        for owned in self.owners:
            before = fences[owned.range]
            if before and owned.generation <= before[-1].generation:
                verdict.wrong(ORDER, f"the generation of {owned.range} went from {before[-1].generation} to {owned.generation}")
            before.append(owned)
        for stored in self.stored:
            name = self._range_of(stored.cluster)
            if not name:
                verdict.wrong(OLD_OWNER, f"version {stored.version} is in {stored.cluster}, which is in nobody's range")
                continue
            # A transaction compares fences as they were before it.
            then = bisect_left(fences[name], stored.revision, key=lambda owned: owned.revision) - 1
            owner = fences[name][then].owner if then >= 0 else "nobody"
            if stored.writer != owner:
                writer = stored.writer or "somebody without a journal"
                verdict.wrong(OLD_OWNER, f"{writer} wrote {stored.version} to {name} when it was the range of {owner}")

    def _range_of(self, cluster: str) -> str:
        """The name of the range, empty where the cluster is in none."""
        at = bisect_right(self._intervals, cluster, key=lambda interval: interval[0]) - 1
        return self._intervals[at][2] if at >= 0 and cluster < self._intervals[at][1] else ""
