"""How the tests of one run are shared among its worker processes (pytest-xdist)."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

_ALONE = "alone"
_DISTRIBUTED = "distributed"
_ALONE_FOLDERS = ("tests/distributed/", "tests/faults/")
"""What they assert of time is about a machine that has nothing else to do."""


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """The tests of a file go to one worker, as what they share is costly to make.

    All of the end-to-end tests in the distributed form go to one worker, and first: there is one such platform at a time. What is
    to be alone on the machine comes last.
    """

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        if file.startswith(_ALONE_FOLDERS):
            return _ALONE
        return _DISTRIBUTED if file.startswith("tests/e2e/") and "distributed" in test.partition("[")[2] else file

    def _assign_work_unit(self, node: WorkerController) -> None:
        for scope, last in ((_DISTRIBUTED, False), (_ALONE, True)):
            if scope in self.workqueue:
                self.workqueue.move_to_end(scope, last=last)
        super()._assign_work_unit(node)


@contextmanager
def turn(shared: Path, *, of: str) -> Iterator[None]:
    """Held while a test runs, beside those of other workers; one that is to be alone begins when theirs are over, and they wait.
    `shared`: any file that all workers can read. `of`: the test's node id."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    with shared.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if of.startswith(_ALONE_FOLDERS) else fcntl.LOCK_SH)
        yield
