"""The results of a run as Markdown, compared with their limits and with kube-apiserver."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.hostile.families import FAMILIES
from benchmarks.hostile.measure import Row
from benchmarks.hostile.servers import KINDS

P99_RATIO_MAX = 2.0
P99_MS_MAX = 50.0
STALL_SECONDS_MAX = 0.020
KEPT_BYTES_MAX = 32 * 1000 * 1000
KUBERNETES = "kube-apiserver"


def misses(row: Row, peer: Row | None) -> list[str]:
    """The limits that a row of tenantry exceeds. `peer`: the row of kube-apiserver for that family in the same run."""
    found = []
    if row.attacked_p99_ms > P99_RATIO_MAX * row.quiet_p99_ms:
        found.append(f"p99 > {P99_RATIO_MAX:g} times the quiet one")
    if row.attacked_p99_ms > P99_MS_MAX:
        found.append(f"p99 > {P99_MS_MAX:g} ms")
    if row.longest_stall_seconds is None or row.longest_stall_seconds > STALL_SECONDS_MAX:
        found.append(f"stall > {STALL_SECONDS_MAX * 1000:g} ms")
    if row.kept_bytes > KEPT_BYTES_MAX:
        found.append(f"kept > {KEPT_BYTES_MAX // 10**6} MB")
    if row.changed_hands:
        found.append("ranges changed hands")
    if row.server_errors:
        found.append("5xx")
    if peer is not None:
        if row.attacked_p99_ms > max(peer.attacked_p99_ms, row.quiet_p99_ms):
            found.append("p99 > kube-apiserver's")
        if row.kept_bytes > max(peer.kept_bytes, 10**6):
            found.append("kept > kube-apiserver's")
        if row.server_errors > peer.server_errors:
            found.append("more 5xx than kube-apiserver")
    return found


def tables(rows: Sequence[Row]) -> str:
    peers = {row.family: row for row in rows if row.server == KUBERNETES}
    parts = []
    for name, kind in KINDS.items():
        found = [row for row in rows if row.server == name]
        if not found:
            continue
        head = [
            "family",
            "p99 quiet",
            "p99 attacked",
            "ratio",
            "stall when quiet",
            "longest stall",
            "its CPU",
            "kept",
            "changed hands",
            "5xx",
            "answers",
        ]
        lines = [_line(row) for row in found]
        if name != KUBERNETES:
            head.append("not reached")
            for line, row in zip(lines, found, strict=True):
                line.append(", ".join(misses(row, peers.get(row.family))) or "")
        parts.append(
            "\n".join([f"### {kind.what}", "", *(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *lines])])
        )
    return "\n\n".join(parts)


def _line(row: Row) -> list[str]:
    answers = ", ".join(f"{status if status != '0' else 'lost'}: {count}" for status, count in sorted(row.hostile.items()))
    return [
        FAMILIES[row.family].what,
        f"{row.quiet_p99_ms:.1f} ms",
        f"{row.attacked_p99_ms:.1f} ms",
        f"{row.attacked_p99_ms / row.quiet_p99_ms:.2f}",
        _milliseconds(row.quiet_stall_seconds),
        _milliseconds(row.longest_stall_seconds),
        _milliseconds(row.longest_stall_cpu_seconds),
        f"{row.kept_bytes / 1e6:.1f} MB",
        str(row.changed_hands),
        str(row.server_errors),
        answers,
    ]


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.0f} ms"
