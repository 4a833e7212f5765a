"""Writes docs/settings.md from the settings classes. `make docs` runs it, and a test compares the page with it."""

from __future__ import annotations

from pathlib import Path

from gateway.settings import GatewaySettings
from registry.settings import RegistrySettings
from shard.settings import ShardSettings
from tenantry.base.flags import table
from tenantry.cli.settings import StartSettings
from tenantry_sync_agent.settings import SyncSettings
from views.settings import ViewsSettings

PAGE = Path(__file__).resolve().parent.parent / "docs" / "settings.md"
COMMANDS = {
    "start": StartSettings,
    "registry": RegistrySettings,
    "shard": ShardSettings,
    "gateway": GatewaySettings,
    "views": ViewsSettings,
}


def page() -> str:
    intro = "A flag wins over the environment, the environment over the default. This page is written by `make docs`.\n"
    sections = [f"## `tenantry {name}`\n\n{table(kind)}\n" for name, kind in COMMANDS.items()]
    sections.append(f"## `tenantry-sync`\n\nThe agent of [SyncTargets](syncing.md).\n\n{table(SyncSettings)}\n")
    return "\n".join(["# Settings\n", intro, *sections])


if __name__ == "__main__":
    PAGE.write_text(page())
