"""The command `tenantry-sync`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from tenantry.base import logs
from tenantry.base.flags import SettingError, add_flags, settings_from
from tenantry.base.tasks import awaited
from tenantry_sync_agent.agent import Agent
from tenantry_sync_agent.kubeconfig import KubeconfigError
from tenantry_sync_agent.settings import SyncSettings

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Syncs until SIGINT or SIGTERM, and gives its lease back. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="tenantry-sync",
        description="Syncs the objects of a SyncTarget to another API server, and their status back. "
        "Each flag can be given as an environment variable: --log-level is TENANTRY_LOG_LEVEL.",
    )
    add_flags(parser, SyncSettings)
    options = parser.parse_args(arguments)
    try:
        settings = settings_from(SyncSettings, options)
        if not settings.target:
            raise SettingError("--target must be given: the name of a SyncTarget")
    except SettingError as error:
        print(f"tenantry-sync: {error}", file=sys.stderr)
        return 2
    logs.configure(settings.log_level)
    try:
        asyncio.run(_until_signal(Agent(settings)))
    except KubeconfigError as error:
        print(f"tenantry-sync: {error}", file=sys.stderr)
        return 1
    return 0


async def _until_signal(agent: Agent) -> None:
    loop = asyncio.get_running_loop()
    task = awaited(agent.run(), name="agent")
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await task
    logger.info("ended")


if __name__ == "__main__":
    sys.exit(main())
