"""Opening a range for tenants that have no room in those of the map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from tenantry.placement.map import RangeInfo
from tenantry.placement.range_map import RangeMap


class OpenedRange(NamedTuple):
    """The name of a range that was opened, and the version of the map that shows it: the same as
    `tenantry.client.registry.OpenedRange`, which stands alone."""

    name: str
    version: int


class RangeOpener(Protocol):
    async def __call__(self, labels: Mapping[str, str], after_version: int) -> OpenedRange:
        """A range with these labels that was opened after this version of the map, or a new one.

        Raises StatusError, OSError.
        """
        ...


class RangeOpening:
    """Has ranges opened by `opener`, and shows them as the map does."""

    def __init__(self, range_map: RangeMap, opener: RangeOpener) -> None:
        self._range_map = range_map
        self._opener = opener

    async def open(self, labels: Mapping[str, str]) -> RangeInfo:
        """Opens a range over unused ids, on the shard with the least load, unless another caller opened one after the map's
        present version. Returns when the map shows it. Raises as the opener does."""
        range_map = self._range_map
        opened = await self._opener(labels, range_map.version)
        await range_map.reached(opened.version)
        info = range_map.named(opened.name)
        if info is None:
            raise RuntimeError(f"range {opened.name} was opened, but version {range_map.version} of the map does not show it")
        return info
