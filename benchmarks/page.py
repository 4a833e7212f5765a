"""`python -m benchmarks.page`: writes the tables of a run into `docs/benchmarks.md`, between its marks."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from benchmarks import tables
from benchmarks.results import Results

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("json", type=Path, nargs="?", default=Path("benchmarks.json"), help="output file of `make bench`")
    results = msgspec.json.decode(parser.parse_args().json.read_bytes(), type=Results)
    page = PAGE.read_text()
    for mark, text in (("figures", tables.figures(results)), ("work", tables.work(results))):
        before, begin, rest = page.partition(f"<!-- {mark} -->\n")
        _, end, after = rest.partition(f"<!-- end of {mark} -->\n")
        if not end:
            print(f"{PAGE} has no place for the {mark}", file=sys.stderr)
            return 1
        page = f"{before}{begin}\n{text}\n\n{end}{after}"
    PAGE.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
