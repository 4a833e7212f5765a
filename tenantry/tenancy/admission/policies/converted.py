"""The objects of a write in the version in which a policy is matched."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tenantry.apiserver.admission.conversion import convert, is_converted
from tenantry.apiserver.admission.review import Review
from tenantry.kube.admission_matching import AdmissionRequest, MatchedResource
from tenantry.kube.objects import Object
from tenantry.kube.schema.cel import LoopBudgetExceeded
from tenantry.tenancy.admission.policies.facts import Facts
from tenantry.tenancy.admission.policies.seen_request import request_of


class ConversionNeed:
    """An object that a webhook converts: a fact of the write (`Facts`). Each is one of its own."""

    __slots__ = ("obj", "source", "target")

    def __init__(self, obj: Object, source: str, target: str) -> None:
        self.obj = obj
        self.source = source
        self.target = target


class Converted(NamedTuple):
    """The new and the old object, and what makes the request."""

    object: Object | None
    old_object: Object | None
    request: Callable[[], Object]


class Conversions:
    """What the policies of one write see, made once for each version."""

    def __init__(self, review: Review, request: AdmissionRequest, shown: Object | None, old: Object | None, facts: Facts) -> None:
        self._facts = facts
        self._needs: list[ConversionNeed] = []
        self._review = review
        self._request = request
        self._shown = shown
        self._old = old
        self._known: dict[MatchedResource, Converted] = {}
        self._own: Converted | None = None

    def to(self, matched: MatchedResource, *, at_once: bool) -> Converted:
        """Raises LoopBudgetExceeded where a conversion is needed on the event loop (`at_once`), and Unknown."""
        if matched is self._request.matched:
            # Most policies name the version in which objects are written.
            if self._own is None:
                self._own = Converted(self._shown, self._old, self._made_request(matched))
            return self._own
        known = self._known.get(matched)
        if known is None:
            known = self._known[matched] = self._converted(matched, at_once)
        return known

    def _made_request(self, matched: MatchedResource) -> Callable[[], Object]:
        """What makes the request when it is first called."""
        made: list[Object] = []

        def request() -> Object:
            if not made:
                made.append(request_of(self._review, matched, self._request))
            return made[0]

        return request

    def _converted(self, matched: MatchedResource, at_once: bool) -> Converted:
        request = self._made_request(matched)
        if matched.kind == self._request.matched.kind:
            return Converted(self._shown, self._old, request)
        definition, own = self._review.definition, self._request.matched
        if definition.conversion is not None:
            versions = own.kind.version, matched.kind.version
            return Converted(self.by_webhook(self._shown, *versions), self.by_webhook(self._old, *versions), request)
        if at_once and is_converted(definition, own, matched):
            raise LoopBudgetExceeded
        made_new, made_old = (convert(each, definition, own, matched) for each in (self._shown, self._old))
        return Converted(made_new, made_old, request)

    def by_webhook(self, obj: Object | None, source: str, target: str) -> Object | None:
        """An object that the webhook of its type converts to another version. Raises Unknown, LoopBudgetExceeded."""
        if obj is None:
            return None
        for need in self._needs:
            if need.obj is obj and (need.source, need.target) == (source, target):
                break
        else:
            need = ConversionNeed(obj, source, target)
            self._needs.append(need)
        found: Object = self._facts.get(need)
        return found
