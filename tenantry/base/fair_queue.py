"""A fair queue: the owner that was served least is next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Generic, TypeVar

Item = TypeVar("Item")
_KEPT = 256

Owners = tuple[Hashable, ...]
"""The owners of an item, such as its tenant and its user."""


class FairQueue(Generic[Item]):
    """Items wait by their owners. Items of the same owners are served in their order.

    Each owner has a virtual time, which grows by the cost of everything it is served. The rank of an item is the latest time of
    its owners, and the item with the lowest rank is next. So a tenant gains nothing by having many users, nor a user by using
    many tenants. An owner that is new or returns starts at the time of the owners that are served now, without credit or debt
    from before (start-time fair queuing, Goyal 1996). When the queue is empty, it keeps no state.
    """

    def __init__(self) -> None:
        self._flows: dict[Owners, deque[Item]] = {}
        self._heap: list[tuple[float, int, Owners]] = []
        self._times: dict[Hashable, float] = {}
        self._now = 0.0
        self._numbers = count()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Item]:
        """The waiting items, unordered."""
        for flow in self._flows.values():
            yield from flow

    def waits(self, owners: Owners) -> bool:
        """Whether items of exactly these owners wait."""
        return owners in self._flows

    def push(self, owners: Owners, item: Item) -> None:
        """Puts an item behind the others of its owners."""
        flow = self._flows.get(owners)
        if flow is None:
            self._flows[owners] = flow = deque()
            heappush(self._heap, (self._rank(owners), next(self._numbers), owners))
        flow.append(item)
        self._size += 1

    def push_first(self, owners: Owners, item: Item) -> None:
        """Puts an item back that was taken and not served, in front of the others of its owners."""
        self.push(owners, item)
        self._flows[owners].rotate(1)

    def pop(self, fits: Callable[[Owners, Item], bool] | None = None, *, cost: float = 1.0) -> tuple[Owners, Item] | None:
        """Takes the next item. None: there is none. `fits`: owners are skipped this time if it refuses their first item. `cost`:
        it is charged to the owners; use `charge` to correct it when the true cost is known."""
        if not self._flows:
            return None
        if len(self._flows) == 1:
            return self._pop_only(fits, cost)
        passed: list[tuple[float, int, Owners]] = []
        found: tuple[Owners, Item] | None = None
        heap, flows = self._heap, self._flows
        while heap:
            rank, _, owners = entry = heappop(heap)
            flow = flows.get(owners)
            if flow is None:
                continue
            now = self._rank(owners)
            if now > rank:
                # Its owners were served since then, for this flow or for another one.
                heappush(heap, (now, entry[1], owners))
                continue
            if fits is not None and not fits(owners, flow[0]):
                passed.append(entry)
                continue
            found = owners, flow.popleft()
            self._size -= 1
            self._now = max(self._now, now)
            if cost:
                self.charge(owners, cost)
            if flow:
                heappush(heap, (self._rank(owners), next(self._numbers), owners))
            else:
                del flows[owners]
            break
        for entry in passed:
            heappush(heap, entry)
        self._tidy()
        return found

    def _pop_only(self, fits: Callable[[Owners, Item], bool] | None, cost: float) -> tuple[Owners, Item] | None:
        """`pop` for a single flow, where there is nothing to compare."""
        ((owners, flow),) = self._flows.items()
        if fits is not None and not fits(owners, flow[0]):
            return None
        item = flow.popleft()
        self._size -= 1
        if flow:
            self._now = self._rank(owners)
            if cost:
                self.charge(owners, cost)
        else:
            del self._flows[owners]
            self._tidy()
        return owners, item

    def remove(self, owners: Owners, item: Item) -> bool:
        """Removes an item. Returns whether it was in the queue."""
        flow = self._flows.get(owners)
        if flow is None or item not in flow:
            return False
        flow.remove(item)
        self._size -= 1
        if not flow:
            del self._flows[owners]
        self._tidy()
        return True

    def take(self, wanted: Callable[[Item], bool]) -> list[Item]:
        """Removes and returns all items for which `wanted` is true. Items of the same owners stay in their order."""
        taken: list[Item] = []
        for owners, flow in tuple(self._flows.items()):
            chosen = [item for item in flow if wanted(item)]
            if len(chosen) == len(flow):
                del self._flows[owners]
            elif chosen:
                self._flows[owners] = deque(item for item in flow if not wanted(item))
            taken += chosen
        self._size -= len(taken)
        self._tidy()
        return taken

    def charge(self, owners: Owners, cost: float) -> None:
        """Adds a cost to the owners' times; it may be negative. It has no effect while the queue is empty, because then it delays
        no other owner."""
        if not self._flows:
            return
        times, now = self._times, self._now
        for owner in owners:
            at = times.get(owner)
            times[owner] = (at if at is not None and at > now else now) + cost
        if len(times) > 4 * len(self._flows) + _KEPT:
            # An owner that is not ahead of the others is treated as a new one, and one that does not wait may be dropped.
            waiting = {owner for flow in self._flows for owner in flow}
            self._times = {owner: at for owner, at in times.items() if at > now and owner in waiting}

    def clear(self) -> list[Item]:
        """Removes and returns all items, unordered."""
        if not self._flows:
            return []
        items = list(self)
        self._flows.clear()
        self._size = 0
        self._tidy()
        return items

    def _rank(self, owners: Owners) -> float:
        times = self._times
        rank = self._now
        for owner in owners:
            at = times.get(owner)
            if at is not None and at > rank:
                rank = at
        return rank

    def _tidy(self) -> None:
        """Resets the state if the queue is empty. Rebuilds the heap if most of its entries are outdated."""
        if not self._flows:
            self._heap.clear()
            self._times.clear()
            self._now = 0.0
            return
        if len(self._heap) > 2 * len(self._flows) + _KEPT:
            # Outdated entries stay in the heap until there are many.
            self._heap = [(self._rank(owners), next(self._numbers), owners) for owners in self._flows]
            heapify(self._heap)

    def __repr__(self) -> str:
        return f"<FairQueue of {self._size} in {len(self._flows)} flows>"
