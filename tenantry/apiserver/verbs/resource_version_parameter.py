"""Checks the resourceVersion that a read asks for against the version of the range in memory."""

from __future__ import annotations

import asyncio

from tenantry.apiserver.verbs.options import unsigned
from tenantry.kube.status import Cause, StatusError, bad_request, expired, timeout
from tenantry.storage import resource_version
from tenantry.storage.range import Range

WAIT_SECONDS = 3.0
"""How long a read waits for a version that memory has not reached (kube-apiserver's value)."""


def requested(text: str) -> int:
    """The resourceVersion parameter of a list; 0 where it is empty. Raises StatusError 400 where it is not a number."""
    if not text:
        return 0
    try:
        return unsigned(text)
    except ValueError as error:
        raise bad_request(f'invalid resource version: resourceVersion: Invalid value: "{text}": {error}') from None


def watched(text: str) -> int:
    """The resourceVersion parameter of a watch or get. Upstream answers 500 where it is not a number."""
    if not text:
        return 0
    try:
        return unsigned(text)
    except ValueError as error:
        raise StatusError(500, "", f'resourceVersion: Invalid value: "{text}": {error}') from None


def is_foreign(wanted: int, range_: Range) -> bool:
    """Whether a version is one of another cell: it counts as compacted, and is older if its number is less
    (docs/decisions/0007-versions-of-another-cell-are-gone.md)."""
    current = range_.version
    return bool(current) and resource_version.cell_of(wanted) != resource_version.cell_of(current)


def check_cell(wanted: int, range_: Range) -> None:
    """Raises StatusError 410 for a version of another cell: the client has to list again."""
    if is_foreign(wanted, range_):
        raise expired(f"too old resource version: {wanted} ({range_.version})")


def too_large(wanted: int, current: int) -> StatusError:
    """504: the version is in the future."""
    return timeout(
        f"Timeout: Too large resource version: {wanted}, current: {current}",
        causes=[Cause("ResourceVersionTooLarge", "Too large resource version")],
    )


async def wait_for_version(range_: Range, wanted: int) -> None:
    """Waits until the range has reached the version. Raises StatusError: 504 after `WAIT_SECONDS`, 410 for a greater version of
    another cell, which it never reaches."""
    if wanted <= range_.version:
        return
    check_cell(wanted, range_)
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await range_.reached(wanted)
    except TimeoutError:
        if range_.version < wanted:
            raise too_large(wanted, range_.version) from None
