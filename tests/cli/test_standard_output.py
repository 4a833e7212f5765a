"""What of standard output cannot be written, or is read by nobody."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cli.executed import executed
from tests.support.patience import PATIENCE_SECONDS

FULL = b"tenantry: [Errno 28] No space left on device\n"
PRINTING = [["--help"], ["--version"], ["start", "--help"], ["ranges", "--help"], ["probe", "--help"]]


@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_a_full_disk_is_a_failure_of_what_argparse_prints_too(arguments: list[str], buffered: bool) -> None:
    with Path("/dev/full").open("wb") as full, executed(arguments, buffered, full) as process:
        _, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert (process.returncode, err) == (1, FULL)


@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_a_reader_that_is_gone_has_seen_enough(arguments: list[str], buffered: bool) -> None:
    with executed(arguments, buffered, subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert (process.returncode, err) == (0, b"")


def test_a_failure_stays_the_failure_that_it_is(buffered: bool) -> None:
    """Wrong usage has an exit code of its own, and nothing to write to standard output."""
    with Path("/dev/full").open("wb") as full, executed(["none"], buffered, full) as process:
        _, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 2 and b"invalid choice: 'none'" in err
