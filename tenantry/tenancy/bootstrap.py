"""Installs what a fresh system needs, in the range that holds `root`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host


async def bootstrap(host: Host) -> None:
    """Idempotent: what is there in the same version is left alone."""
