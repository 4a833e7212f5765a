"""`make explore`: runs the property-based tests repeatedly, with random examples, for a given time.

Each failure is written to tests/cases/explored. Later test runs read it there (tests/support/explored.py), and it is tried first.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
NO_TESTS, INTERRUPTED = 5, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the tests. Returns 0 if no test failed, else 1."""
    parser = argparse.ArgumentParser(prog="make explore", description=__doc__)
    parser.add_argument("--seconds", type=float, required=True, help="how long to search")
    parser.add_argument("--workers", type=int, default=1, help="processes that search; default: 1")
    parser.add_argument("tests", nargs="*", help="files and folders; default: all that have property-based tests")
    options = parser.parse_args(arguments)
    begin = time.time()
    until = begin + options.seconds
    chosen = options.tests or having_properties()
    failures = rounds = 0
    while time.time() < until:
        rounds += 1
        words = ["-m", "hypothesis", "--hypothesis-profile=explore", f"--explore-until={until}", "--tb=short", *chosen]
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", f"--numprocesses={options.workers}", *words], cwd=ROOT, check=False
        )
        if ended.returncode > INTERRUPTED:
            return ended.returncode
        failures += ended.returncode == 1
    print(f"{rounds} rounds in {time.time() - begin:.0f} s, {failures} of them with failures; see tests/cases/explored")
    return 1 if failures else 0


def having_properties() -> list[str]:
    """The test files that use hypothesis. Collecting all files would take longer than a round."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    return [str(file.relative_to(ROOT)) for file in files if "hypothesis" in file.read_text()]


if __name__ == "__main__":
    sys.exit(main())
