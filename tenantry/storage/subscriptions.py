"""Subscriptions to the events of a range, by resource and cluster.

This is not a `Broadcast`: the cost of a dispatch depends on the number of events, not on the number of subscribers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tenantry.base.tasks import raised
from tenantry.storage.record import RecordEvent

EventCallback = Callable[[Sequence[RecordEvent]], None]
Interest = tuple[str | None, str | None]


def _nothing(events: Sequence[RecordEvent]) -> None:
    """The callback of a subscription that has ended."""


class Subscription:
    __slots__ = ("active", "callback")

    def __init__(self, callback: EventCallback) -> None:
        self.callback = callback
        self.active = True


class Subscriptions:
    """Callbacks by (resource or None, cluster or None)."""

    __slots__ = ("_by_interest",)

    def __init__(self) -> None:
        self._by_interest: dict[Interest, list[Subscription]] = {}

    def add(self, callback: EventCallback, resource: str | None, cluster: str | None) -> Callable[[], None]:
        interest = (resource, cluster)
        subscription = Subscription(callback)
        self._by_interest.setdefault(interest, []).append(subscription)

        def stop() -> None:
            if not subscription.active:
                return
            subscription.active = False
            # The subscriber keeps `stop`: together they would be a cycle.
            subscription.callback = _nothing
            same = self._by_interest[interest]
            same.remove(subscription)
            if not same:
                del self._by_interest[interest]

        return stop

    def dispatch(self, events: Sequence[RecordEvent]) -> None:
        by_interest = self._by_interest
        if not by_interest:
            return
        wanted: dict[Interest, list[RecordEvent]] = {}
        for event in events:
            cluster, resource, _, _ = event.key
            for interest in ((resource, cluster), (resource, None), (None, cluster), (None, None)):
                if interest in by_interest:
                    wanted.setdefault(interest, []).append(event)
        # The callbacks are chosen before the first call. A callback may subscribe, and a new subscriber has read memory already.
        calls = [(list(by_interest[interest]), found) for interest, found in wanted.items()]
        for subscriptions, found in calls:
            for subscription in subscriptions:
                if subscription.active:
                    try:
                        subscription.callback(found)
                    except Exception:  # the other subscribers still get the events
                        raised("a subscriber of range events")
