"""Points at which long work in a thread lets others go first.

The code that works says where it may be interrupted (`pause`). The thread in which it runs decides whether it is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class _Thread(threading.local):
    pause: Callable[[], None] | None = None


_thread = _Thread()


def pause() -> None:
    """Waits while others are first, and raises what ends the work. It does nothing in a thread that has not said `pauses_by`."""
    waits = _thread.pause
    if waits is not None:
        waits()


def pauses_by(waits: Callable[[], None]) -> None:
    """Says what a pause is in this thread."""
    _thread.pause = waits
