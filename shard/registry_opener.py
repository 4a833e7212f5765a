"""Has ranges opened by the registry, for a shard in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping

from tenantry.client.registry import RegistryClient, RegistryError
from tenantry.kube.status import unavailable
from tenantry.placement.range_opening import OpenedRange


class RegistryOpener:
    """Implements `tenantry.placement.range_opening.RangeOpener`."""

    def __init__(self, registries: RegistryClient) -> None:
        self._registries = registries

    async def __call__(self, labels: Mapping[str, str], after_version: int) -> OpenedRange:
        """Raises StatusError 503 if no registry opens one."""
        try:
            opened = await self._registries.open_range(labels, after_version)
        except RegistryError as error:
            raise unavailable(f"no range could be opened: {error}") from error
        return OpenedRange(opened.name, opened.version)
