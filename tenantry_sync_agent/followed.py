"""Reflectors that run, each in a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from tenantry.base.tasks import restarting
from tenantry_sync_agent.reflector import Reflector


class Followed(NamedTuple):
    """A reflector and the task that runs it."""

    reflector: Reflector
    task: asyncio.Task[None]


def follow(reflector: Reflector) -> Followed:
    """Starts a reflector."""
    return Followed(reflector, restarting(reflector.run, name=reflector.url))


async def cancelled(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancels tasks, and returns when they have ended."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)
