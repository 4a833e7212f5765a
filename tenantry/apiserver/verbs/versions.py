"""The resourceVersion that a read asks for, against the version that memory shows."""

from __future__ import annotations

import asyncio

from tenantry.apiserver.verbs.options import unsigned
from tenantry.kube.status import Cause, StatusError, bad_request, expired, timeout
from tenantry.storage import versions
from tenantry.storage.range import Range

WAIT_SECONDS = 3.0
"""How long a read waits for a version that is not there yet (kube-apiserver's figure)."""


def requested(text: str, range_: Range) -> int:
    """A resourceVersion parameter; 0 where it is empty. Raises StatusError: 400 for text, 410 for another cell's version."""
    if not text:
        return 0
    try:
        wanted = unsigned(text)
    except ValueError as error:
        raise bad_request(f'invalid resource version: resourceVersion: Invalid value: "{text}": {error}') from None
    if wanted:
        check_cell(wanted, range_)
    return wanted


def watched(text: str) -> int:
    """The same parameter of a watch or of a get, where upstream answers 500 for text. The cell is not looked at."""
    if not text:
        return 0
    try:
        return unsigned(text)
    except ValueError as error:
        raise StatusError(500, "", f'resourceVersion: Invalid value: "{text}": {error}') from None


def check_cell(wanted: int, range_: Range) -> None:
    """Versions of different cells cannot be compared. Raises StatusError 410, upon which clients list again."""
    current = range_.version
    if current and versions.cell_of(wanted) != versions.cell_of(current):
        raise expired(f"too old resource version: {wanted} ({current})")


def too_large(wanted: int, current: int) -> StatusError:
    """504: the version lies in the future."""
    return timeout(
        f"Timeout: Too large resource version: {wanted}, current: {current}",
        causes=[Cause("ResourceVersionTooLarge", "Too large resource version")],
    )


async def reached(range_: Range, wanted: int) -> None:
    """Returns when the range is at the wanted version. Raises StatusError 504 when it is not in time."""
    if wanted <= range_.version:
        return
    arrived = asyncio.Event()

    def look(_: object) -> None:
        if range_.version >= wanted:
            arrived.set()

    stop = range_.subscribe(look)
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await arrived.wait()
    except TimeoutError:
        if range_.version < wanted:
            raise too_large(wanted, range_.version) from None
    finally:
        stop()
