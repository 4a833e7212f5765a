"""`make bench`: measures all rows in one run, prints the tables and writes the figures as JSON.

A stage whose programs are missing is skipped with a message. A stage that fails does not stop the others, but makes the run fail.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
import traceback
from dataclasses import asdict
from pathlib import Path

from benchmarks import beside, tables
from benchmarks.results import Results
from benchmarks.stages import STAGES


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("benchmarks.json"), help="where to write the figures")
    parser.add_argument("--only", action="append", choices=list(STAGES), help="run one stage; may be given several times")
    parser.add_argument("--keep", type=Path, help="directory to use and not to delete (it has the logs)")
    parser.add_argument("--beside", type=Path, help="measure only the ratios to the code of this other checkout")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="tenantry-bench-"))
    if options.beside:
        return _beside(options.beside, folder, options.json)
    results = Results()
    try:
        for name, stage in STAGES.items():
            if options.only and name not in options.only:
                continue
            missing = stage.missing()
            if missing is not None:
                print(f"{name}: left out, {missing}", file=sys.stderr, flush=True)
                results.left_out[name] = missing
                continue
            print(f"{name} …", file=sys.stderr, flush=True)
            began = time.perf_counter()
            try:
                stage.measure(folder / name, results)
            except Exception as error:
                traceback.print_exc()
                results.failed[name] = f"{type(error).__name__}: {error}"
            results.seconds[name] = round(time.perf_counter() - began, 1)
            print(f"{name}: {results.seconds[name]:.0f} s", file=sys.stderr, flush=True)
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print("\n\n".join(filter(None, [tables.figures(results), tables.work(results)])))
    options.json.write_text(json.dumps({"machine": machine(), **results.document()}, indent=2) + "\n")
    return 1 if results.failed else 0


def _beside(tree: Path, folder: Path, target: Path) -> int:
    ratios = beside.measure(tree, folder)
    print(beside.table(ratios))
    target.write_text(json.dumps({"machine": machine(), "ratios": [asdict(ratio) for ratio in ratios]}, indent=2) + "\n")
    return 0 if all(ratio.reached for ratio in ratios) else 1


def machine() -> dict[str, object]:
    cpu = next(
        (line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ""
    )
    return {
        "cores": os.cpu_count(),
        "cpu": cpu,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": os.getloadavg(),
    }


if __name__ == "__main__":
    sys.exit(main())
