"""Dynamic admission: what configurations of a tenant decide about writes (webhooks, policies), beside the plugins of the server.

Plugins decide from memory, at once. Dynamic admission may have to call another server, or evaluate for longer than a turn of
the event loop. Then it returns an `Ask`, which the write awaits between two of its steps. Afterwards the write looks whether its
record and what the plugins decide from are still as they were.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from tenantry.apiserver.admission.review import Admission, Review
from tenantry.kube.objects import Object


class Ask:
    """What a write awaits. `call(deadline)` ends by a time of the event loop. It changes the review (the object, warnings, audit
    annotations), or raises StatusError to refuse the write."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[float], Awaitable[None]]) -> None:
        self.call = call


class Reinvocation:
    """What mutating admission remembers between its two rounds (upstream's admission.ReinvocationContext). Webhooks and policies
    share it: what one of them changes may call for another one again.

    `again`: this is the second round. `wanted`: something was changed that a second round may be for. `changes`: how often the
    object was changed; who changes it counts this up. `values`: what each dynamic admission keeps for its second round.
    """

    __slots__ = ("again", "changes", "values", "wanted")

    def __init__(self) -> None:
        self.again = False
        self.wanted = False
        self.changes = 0
        self.values: dict[str, Any] = {}


class DynamicAdmission(Protocol):
    """One kind of dynamic admission. Both methods are called on the event loop for each write, so they answer None with one
    look-up where the cluster has no configuration for the type. They may do at once what is short, and raise StatusError."""

    def mutating(self, review: Review, rounds: Reinvocation) -> Ask | None:
        """Changes `review.object` (`Review.take`), and then counts `rounds.changes` and may set `rounds.wanted`. It is called
        again, with `rounds.again`, where that was set in the first round."""
        ...

    def validating(self, review: Review) -> Ask | None:
        """Decides about the final object. It is called after the validating plugins."""
        ...


class Configured(Protocol):
    """Which dynamic admission may have something to say about a write, in the order in which it is asked: what is configured.
    Most writes meet none."""

    def mutating(self, review: Review) -> Sequence[DynamicAdmission]: ...

    def validating(self, review: Review) -> Sequence[DynamicAdmission]: ...


class WholeAdmission(Admission, Protocol):
    """All admission of a scope: plugins, and dynamic admission.

    `validate` is `check`, and then `charge` (quotas), for writes about which no dynamic admission is asked.
    `restore` puts back what dynamic admission may not change; `before`: metadata → its value before.
    """

    @property
    def configured(self) -> Configured: ...

    def check(self, review: Review) -> None: ...

    def charge(self, review: Review) -> None: ...

    def restore(self, review: Review, before: Mapping[str, Any]) -> None: ...


def metadata_before(obj: Object) -> Mapping[str, Any]:
    """The part of the metadata that `restore` compares with."""
    return {name: obj["metadata"].get(name) for name in ("labels", "annotations", "finalizers")}
