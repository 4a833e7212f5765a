"""What a fuzz target is, and running one on one input.

A target takes any bytes. It passes over what the product refuses with an error that is translated where a request is answered. It
fails where another exception comes out, where the result breaks a law of the code, or where it takes too long.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

CPU_SECONDS_MAX = 0.5
"""The processor time that an input of INPUT_BYTES_MAX may take."""
INPUT_BYTES_MAX = 64 * 1024
Run = Callable[[bytes], None]


@dataclass(frozen=True, kw_only=True)
class Target:
    """`run` is one execution. `seeds` are sound inputs. `json_at`: where JSON begins in an input, so that values in it can be
    changed without breaking its form; None where inputs are no JSON. `words` are texts that occur in sound inputs."""

    name: str
    run: Run
    seeds: Callable[[], Iterable[bytes]]
    json_at: int | None = None
    words: tuple[str, ...] = ()


class TooSlow(Exception):
    """An input takes longer than it may. The traceback shows where."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raises TooSlow in the block once it has taken so much processor time. In the main thread only."""

    def ends(_number: int, _frame: FrameType | None) -> None:
        raise TooSlow(f"more than {seconds} s of processor time")

    before = signal.signal(signal.SIGPROF, ends)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def try_input(run: Run, data: bytes, *, slower: float = 1.0) -> None:
    """One execution. `slower`: how many times longer the code takes than without instruments. Raises what the target raises."""
    if len(data) > INPUT_BYTES_MAX:
        return
    begin = time.thread_time()
    with limited(8 * CPU_SECONDS_MAX * slower):
        run(data)
    taken = time.thread_time() - begin
    if taken > CPU_SECONDS_MAX * slower:
        raise TooSlow(f"{taken:.2f} s of processor time for {len(data)} bytes")
