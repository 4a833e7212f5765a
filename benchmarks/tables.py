"""The results of a run as Markdown tables for `docs/benchmarks.md`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.meter import UPDATES
from benchmarks.results import IDLE, Figures, Results, Work
from benchmarks.rows import CONFIG_MAPS, PLATFORM, SECTIONS, Row

KINDS = ("etcd", "registry", "gateway", "shard")


def figures(results: Results) -> str:
    parts = [_section(title, rows, results.figures) for title, rows in SECTIONS.items()]
    parts += [_ratios(results.figures), _stages("Left out", results.left_out), _stages("Failed", results.failed)]
    return "\n\n".join(filter(None, parts))


def work(results: Results) -> str:
    return "\n\n".join(filter(None, [_growth(results.work), *_work(results.work)]))


def _section(title: str, rows: Sequence[Row], measured: Figures) -> str:
    found = [row for row in rows if row.name in measured]
    compared = any(row.kcp or row.prototype for row in found)
    head = ["what", "here", "to reach", *(["kcp", "bare prototype"] if compared else [])]
    lines = [
        [row.what, _measured(row, measured[row.name]), _bound(row), *([row.kcp, row.prototype] if compared else [])]
        for row in found
    ]
    return _table(title, head, lines)


def _ratios(measured: Figures) -> str:
    """The cost of a platform of processes on etcd, relative to one process on SQLite in the same run."""
    lines = []
    for row in CONFIG_MAPS:
        direct, through = measured.get(row.name), measured.get(PLATFORM + row.name)
        if through is not None:
            ratio = f"{through / direct:.2f}" if direct else "not measured"
            lines.append([row.what, _number(direct, row.unit) if direct else "", _number(through, row.unit), ratio])
    return _table("Through the gateway and on etcd", ["what", "one process", "gateway, shard, etcd", "ratio"], lines)


def _growth(every_cell: Sequence[Work]) -> str:
    """Compares the smallest and the biggest platforms, without the cost of an idle platform."""
    if not every_cell:
        return ""
    few, many = min(cell.tenants for cell in every_cell), max(cell.tenants for cell in every_cell)
    one, most = min(cell.shards for cell in every_cell), max(cell.shards for cell in every_cell)
    sizes = list(dict.fromkeys([(few, one), (many, one), (few, most), (many, most)]))
    idle = {(cell.tenants, cell.shards): cell for cell in every_cell if cell.what == IDLE}
    lines = []
    for what in dict.fromkeys(cell.what for cell in every_cell if cell.what != IDLE):
        cells = {(cell.tenants, cell.shards): cell for cell in every_cell if cell.what == what}
        values = [_net(cells[size], idle[size]) for size in sizes if size in cells and size in idle]
        lines.append([what, *(f"{calls:.2f}" for calls, _ in values), *(f"{cpu:,.0f}" for _, cpu in values)])
    names = [f"{tenants:,} tenants, {shards} {'shard' if shards == 1 else 'shards'}" for tenants, shards in sizes]
    head = ["for each", *(f"calls of etcd: {name}" for name in names), *(f"CPU µs: {name}" for name in names)]
    return _table("Work as tenants and shards grow, without that of an idle platform", head, lines)


def _net(cell: Work, idle: Work) -> tuple[float, float]:
    """(calls to etcd, CPU microseconds) per request, without the cost of an idle platform."""

    def calls(of: Work) -> float:
        return sum(count for method, count in of.calls.items() if method != UPDATES)

    anyhow = cell.seconds / cell.requests
    return (
        max(0.0, calls(cell) - calls(idle) * anyhow),
        sum(cell.cpu_microseconds.values()) - sum(idle.cpu_microseconds.values()) * anyhow,
    )


def _work(every_cell: Sequence[Work]) -> Iterable[str]:
    for what in dict.fromkeys(cell.what for cell in every_cell):
        cells = [cell for cell in every_cell if cell.what == what]
        methods = sorted({method for cell in cells for method, calls in cell.calls.items() if calls >= 0.0005})
        calls = [f"{method} in etcd" if method != UPDATES else "updates by etcd" for method in methods]
        lines = [
            [
                f"{cell.tenants:,} in {cell.ranges}",
                str(cell.shards),
                *(f"{cell.calls.get(method, 0):.3f}" for method in methods),
                *(f"{cell.cpu_microseconds[kind]:,.0f}" for kind in KINDS),
                f"{sum(cell.cpu_microseconds.values()):,.0f}",
            ]
            for cell in cells
        ]
        head = ["tenants in ranges", "shards", *calls, *(f"{kind} µs" for kind in KINDS), "all µs"]
        yield _table(f"Work for each {'second' if what == IDLE else 'request'}: {what}", head, lines)


def _stages(title: str, stages: dict[str, str]) -> str:
    return _table(title, ["stage", "why"], [[stage, why.replace("\n", " ").replace("|", "\\|")] for stage, why in stages.items()])


def _table(title: str, head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table; empty if there are no lines."""
    if not lines:
        return ""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join([f"### {title}", "", *(f"| {' | '.join(row)} |" for row in rows)])


def _measured(row: Row, value: float) -> str:
    return _number(value, row.unit) + ("" if row.reached(value) else " **(not reached)**")


def _bound(row: Row) -> str:
    return "" if row.reach is None else f"{'≤' if row.at_most else '≥'} {row.reach:,.10g} {row.unit}".rstrip()


def _number(value: float, unit: str) -> str:
    digits = 0 if value >= 100 or (not unit and value == int(value)) else 2
    return f"{value:,.{digits}f} {unit}".rstrip()
