"""Broadcasts changes: calls any number of subscribers on the event loop.

Nothing is queued. A subscriber that needs time sets an event or fills a queue of its own. If a subscriber raises, the error is
logged and counted (`tasks.call`), and the other subscribers are still called.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, ParamSpec, TypeVar

from tenantry.base.tasks import call

P = ParamSpec("P")
K = TypeVar("K", bound=Hashable)


class Broadcast(Generic[P]):
    """The subscribers to one kind of change. `name`: for the log, when a subscriber raises."""

    __slots__ = ("_name", "_subscribers", "_tokens")

    def __init__(self, name: str) -> None:
        self._name = name
        self._subscribers: dict[int, Callable[P, object]] = {}
        self._tokens = itertools.count()

    def __len__(self) -> int:
        return len(self._subscribers)

    def subscribe(self, callback: Callable[P, object]) -> Callable[[], None]:
        """Calls `callback` with every later `send`. Returns a function that unsubscribes, which may be called more than once."""
        token = next(self._tokens)
        self._subscribers[token] = callback

        def unsubscribe() -> None:
            self._subscribers.pop(token, None)

        return unsubscribe

    def send(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Calls every subscriber, in the order of subscription. A subscriber that unsubscribes during the call is not called any
        more. A subscriber that is added during the call gets the next `send`."""
        for token, callback in list(self._subscribers.items()):
            if token in self._subscribers:
                call(callback, self._name, *args, **kwargs)


class KeyedBroadcast(Generic[K, P]):
    """A broadcast for each key. Keys without subscribers use no memory."""

    __slots__ = ("_broadcasts", "_name")

    def __init__(self, name: str) -> None:
        self._name = name
        self._broadcasts: dict[K, Broadcast[P]] = {}

    def __bool__(self) -> bool:
        return bool(self._broadcasts)

    def __contains__(self, key: K) -> bool:
        return key in self._broadcasts

    def __iter__(self) -> Iterator[K]:
        """The keys that have subscribers."""
        return iter(list(self._broadcasts))

    def subscribe(self, key: K, callback: Callable[P, object]) -> Callable[[], None]:
        """As `Broadcast.subscribe`, for one key."""
        broadcast = self._broadcasts.setdefault(key, Broadcast(self._name))
        unsubscribe = broadcast.subscribe(callback)

        def stop() -> None:
            unsubscribe()
            if not broadcast and self._broadcasts.get(key) is broadcast:
                del self._broadcasts[key]

        return stop

    def send(self, key: K, *args: P.args, **kwargs: P.kwargs) -> None:
        """As `Broadcast.send`, for one key."""
        if (broadcast := self._broadcasts.get(key)) is not None:
            broadcast.send(*args, **kwargs)
