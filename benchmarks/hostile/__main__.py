"""`make hostile`: runs every attack family against every server and prints a table of the effects on quiet tenants."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from benchmarks.__main__ import machine
from benchmarks.hostile.families import FAMILIES
from benchmarks.hostile.measure import AttackFailed, Measurement, Row
from benchmarks.hostile.servers import KINDS, Kind
from benchmarks.hostile.table import KUBERNETES, misses, tables


def main() -> int:
    parser = argparse.ArgumentParser(prog="make hostile", description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("hostile.json"), help="where to write the figures")
    parser.add_argument("--only", action="append", choices=list(FAMILIES), help="run one family; may be given several times")
    parser.add_argument("--server", action="append", choices=list(KINDS), help="attack one server; may be given several times")
    parser.add_argument("--seconds", type=float, default=20.0, help="duration of each attack and of the quiet time before it")
    parser.add_argument("--memory-after-seconds", type=float, default=60.0, help="how long after the attack the memory is read")
    parser.add_argument("--keep", type=Path, help="directory to use and not to delete (it has the logs)")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="tenantry-hostile-"))
    rows: list[Row] = []
    failed: list[str] = []
    try:
        for name, kind in KINDS.items():
            if options.server and name not in options.server:
                continue
            missing = kind.missing()
            if missing is not None:
                print(f"{name}: left out, {missing}", file=sys.stderr, flush=True)
                continue
            try:
                _attack(name, kind, folder / name, options, rows, failed)
            except Exception as error:  # the other servers are still measured
                traceback.print_exc()
                failed.append(f"{name}: {type(error).__name__}: {error}")
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(tables(rows))
    for line in failed:
        print(f"failed: {line}")
    document = {"machine": machine(), "rows": [row.document() for row in rows], "failed": failed}
    options.json.write_text(json.dumps(document, indent=2) + "\n")
    return 1 if failed or _missed(rows) else 0


def _attack(name: str, kind: Kind, folder: Path, options: argparse.Namespace, rows: list[Row], failed: list[str]) -> None:
    print(f"{name}: {kind.what} …", file=sys.stderr, flush=True)
    with (
        kind.serve(folder) as serving,
        Measurement(name, serving, seconds=options.seconds, memory_after_seconds=options.memory_after_seconds) as measurement,
    ):
        for family, what in FAMILIES.items():
            if (options.only and family not in options.only) or (name == KUBERNETES and not what.kubernetes):
                continue
            try:
                row = measurement.row(family)
            except AttackFailed as error:
                failed.append(f"{name}, {family}: {error}")
                continue
            rows.append(row)
            said = f"p99 {row.quiet_p99_ms:.1f} → {row.attacked_p99_ms:.1f} ms, kept {row.kept_bytes / 1e6:.1f} MB, {row.hostile}"
            print(f"  {family}: {said} {row.failed or ''}", file=sys.stderr, flush=True)


def _missed(rows: Sequence[Row]) -> bool:
    peers = {row.family: row for row in rows if row.server == KUBERNETES}
    return any(misses(row, peers.get(row.family)) for row in rows if row.server != KUBERNETES)


if __name__ == "__main__":
    sys.exit(main())
