"""The rows of the store that say which views processes of their own serve."""

from __future__ import annotations

from typing import Literal

import msgspec

from tenantry.storage.keys import VIEW_NAMES, VIEW_PROCESSES


class ViewProcessRow(msgspec.Struct, frozen=True):
    """`/views/processes/<uid>`, with a lease: a living process of views.

    `name`: for people, and to place ranges; a restarted process has the same one. `views`: the names of those that it serves.
    `url`: where gateways and shards reach it. `why`: why it is not ready, empty where it is.
    """

    name: str
    url: str
    version: str
    views: list[str]
    state: Literal["serving", "starting", "draining"] = "serving"
    why: str = ""


class ViewNameRow(msgspec.Struct, frozen=True):
    """`/views/names/<view>`: no shard serves this view, even while no process of views lives. `by`: the uid of the process that
    put it last."""

    by: str


def view_process_key(uid: str) -> bytes:
    return f"{VIEW_PROCESSES}{uid}".encode()


def view_name_key(view: str) -> bytes:
    return f"{VIEW_NAMES}{view}".encode()
