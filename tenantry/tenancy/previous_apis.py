"""What clusters served before something of them changed, so that only what changed is read again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from tenantry.base.cache import Cache
from tenantry.kube.api_set import ApiSets
from tenantry.kube.definition import ResourceDefinition
from tenantry.storage.range import Range

_BYTES_MAX = 4 << 20
_CHANGED_MAX = 200
"""Where more definitions of a cluster changed, all are read again."""


class _Previous(NamedTuple):
    number: int
    """The set has this number."""
    changed: frozenset[str]
    """The names of the CustomResourceDefinitions that changed since."""


class ChangesMeanwhile:
    """What changed of a cluster while it was read. `names`: of objects."""

    __slots__ = ("any", "names")

    def __init__(self) -> None:
        self.any = False
        self.names: set[str] = set()

    def note(self, names: Collection[str]) -> None:
        self.any = True
        self.names.update(names)


class PreviousApis:
    """A cluster whose APIs are known takes no memory here. `sets`: where the sets of clusters are from."""

    def __init__(self, sets: ApiSets) -> None:
        self._sets = sets
        self._clusters: Cache[str, _Previous] = Cache("previous_apis", bytes_max=_BYTES_MAX)

    def note(self, cluster: str, number: int, changed: Collection[str]) -> None:
        """The cluster had the set with this number until the CustomResourceDefinitions of these names changed."""
        if len(changed) > _CHANGED_MAX:
            self._clusters.pop(cluster)
        else:
            self._clusters.put(cluster, _Previous(number, frozenset(changed)))

    def changed(self, cluster: str, names: Collection[str]) -> None:
        """These changed after that."""
        before = self._clusters.get(cluster)
        if before is not None and not before.changed.issuperset(names):
            self.note(cluster, before.number, before.changed.union(names))

    def definitions(self, cluster: str) -> Mapping[str, ResourceDefinition]:
        """What did not change, by the name of its CustomResourceDefinition."""
        before = self._clusters.get(cluster)
        found = self._sets.numbered(before.number) if before is not None else None
        if before is None or found is None:
            return {}
        return {each.crd: each for each in found.definitions if each.crd and each.crd not in before.changed}

    def forget(self, clusters: Iterable[str]) -> None:
        for cluster in clusters:
            self._clusters.pop(cluster)

    def forget_range(self, range_: Range) -> None:
        self.forget([cluster for cluster in self._clusters if cluster in range_])
