"""The base class of the strategies of kcp's types."""

from __future__ import annotations

from tenantry.kube.definition import Strategy
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError


class TypeStrategy(Strategy):
    """Calls `inner`, the strategy of a custom resource. Subclasses add rules."""

    def __init__(self, inner: Strategy) -> None:
        self._inner = inner
        self.create_on_update = inner.create_on_update
        self.unconditional_update = inner.unconditional_update
        self.tracks_generation = inner.tracks_generation
        self.starts_generation = inner.starts_generation
        self.changes_generation = inner.changes_generation
        self.bare_finalizers = inner.bare_finalizers
        self.metadata_first = inner.metadata_first
        self.name_last = inner.name_last
        self.prefix_on_update = inner.prefix_on_update
        self.graceful = inner.graceful
        self.returns_deleted = inner.returns_deleted
        self.marks_deleted = inner.marks_deleted
        self.propagation = inner.propagation
        self.status_resets = inner.status_resets
        self.may_take_long = inner.may_take_long or type(self).may_take_long
        self.refuses = inner.refuses or type(self).refuses

    def takes_long(self, obj: Object, old: Object | None) -> bool:
        return self._inner.takes_long(obj, old)

    def findings(self, obj: Object) -> list[FieldError]:
        return self._inner.findings(obj)

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        return self._inner.name_errors(name, prefix=prefix)

    def default(self, obj: Object) -> None:
        self._inner.default(obj)

    def prepare_for_create(self, obj: Object) -> None:
        self._inner.prepare_for_create(obj)

    def prepare_for_update(self, obj: Object, old: Object, subresource: str) -> None:
        self._inner.prepare_for_update(obj, old, subresource)

    def counts(self, obj: Object, old: Object) -> bool:
        return self._inner.counts(obj, old)

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        return self._inner.validate(obj, old, subresource)

    def warnings(self, obj: Object, old: Object | None) -> list[str]:
        return self._inner.warnings(obj, old)

    def validate_delete(self, obj: Object) -> None:
        self._inner.validate_delete(obj)

    def begin_deletion(self, obj: Object) -> None:
        self._inner.begin_deletion(obj)

    def holds(self, obj: Object) -> bool:
        return self._inner.holds(obj)
