"""The rows: what is measured, the reference value on this kind of machine, and the goal."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row. `kcp`, `prototype`: their measured values as text. `reach`: the goal in `unit`; None if there is none.

    `at_most`: the goal is a maximum.
    """

    name: str
    what: str
    unit: str
    reach: float | None = None
    at_most: bool = False
    kcp: str = ""
    prototype: str = ""

    def reached(self, value: float) -> bool:
        if self.reach is None:
            return True
        return value <= self.reach if self.at_most else value >= self.reach


def _row(name: str, what: str, unit: str, reach: float | None = None, kcp: str = "", prototype: str = "") -> Row:
    return Row(name=name, what=what, unit=unit, reach=reach, kcp=kcp, prototype=prototype)


def _cost(name: str, what: str, unit: str, reach: float | None = None, kcp: str = "", prototype: str = "") -> Row:
    """A row in which less is better."""
    return Row(name=name, what=what, unit=unit, reach=reach, at_most=True, kcp=kcp, prototype=prototype)


CONFIG_MAPS = (
    _row("create_1", "ConfigMap of 512 B, create, 1 client", "/s", 500, "306", "1,014"),
    _row("create_32", "ConfigMap of 512 B, create, 32 clients", "/s", 1500, "779", "3,610"),
    _row("get_32", "GET, 32 clients, consistent", "/s", 6000, "1,848", "21,770"),
    _row("patch_32", "merge-patch, 32 clients", "/s", 1200, "741", "3,557"),
    _row("list_500", "LIST limit=500, 8 clients", "/s", 600, "113", "997"),
    _row("list_all", "LIST of 7,400 objects, 4 clients that accept gzip", "/s", 40, "16 (p50 240 ms)", "~55"),
    _row("watch_100", "one object changed 50 times, 100 watchers, events", "/s", 18000, "13,600", "22,000"),
    _row("watch_1000", "one object changed 50 times, 1,000 watchers, events", "/s", 25000, "4,900 (40 % late)", "32,000"),
)
"""Rows that are measured on one process and, with the prefix `PLATFORM`, on a platform of processes."""
PLATFORM = "platform_"

ONE_PROCESS = (
    _cost("first_start", "first start to ready", "s", 2.5, "26 s"),
    _cost("later_start", "later start to ready", "s", 1.5),
    _cost("idle_memory", "memory when idle", "MB", 150, "500 MB"),
    _row("workspaces", "200 workspaces at once by 16 clients, Ready", "/s", 150, "3.3"),
    _cost("one_workspace", "one workspace, POST to Ready seen on a watch (median of 20)", "ms", 25, "520"),
    _cost("workspace_memory", "memory for each empty workspace (2,000 more)", "KiB", 100, "4,700-8,400"),
    _row("workspaces_gone", "delete those 200, gone", "/s", 150, "2.9"),
    *CONFIG_MAPS,
)

APIS = (
    _row("protobuf_get", "GET of a ConfigMap of 512 B in protobuf, 32 clients, requests as a ratio to JSON", "", 1.0),
    _cost("protobuf_get_cpu", "the same, CPU time of the server as a ratio to JSON", ""),
    _cost("protobuf_get_bytes", "the same, bytes as a ratio to JSON", "", 0.6),
    _row("protobuf_list", "LIST limit=500 in protobuf, 8 clients, requests as a ratio to JSON", "", 1.0),
    _cost("protobuf_list_cpu", "the same, CPU time of the server as a ratio to JSON", ""),
    _cost("protobuf_list_bytes", "the same, bytes as a ratio to JSON", "", 0.6),
    _row("table_500", "Table of 500 ConfigMaps, 8 clients", "/s", 200),
    _cost("table_500_cpu", "the same, CPU time of the server", "µs"),
    _row("custom_table_500", "Table of 500 custom resources of 40 properties with three columns, 8 clients", "/s", 200),
    _cost("custom_table_500_cpu", "the same, CPU time of the server", "µs"),
    _row("apply", "server-side apply of 2 KB to one of 200 objects, 32 clients", "/s", 800),
    _cost("apply_cpu", "the same, CPU time of the server", "µs"),
    _row("custom_create", "custom resource of 40 properties under three rules, create, 32 clients", "/s", 700),
    _cost("custom_create_cpu", "the same, CPU time of the server", "µs"),
    _cost("documents_first", "50 CRDs: slowest first answer of discovery and OpenAPI documents", "ms", 150),
    _cost("documents_again", "the same, slowest median of a 304", "ms", 1.0),
    _cost("documents_memory_bound", "memory for the documents of one more workspace that has bound the same 50 APIs", "KiB", 5),
    _cost("documents_memory_own", "the same where it has 50 equal CRDs of its own", "KiB", 5),
)

LOOK_UPS = (
    _row("resolve_memory", "id to place from a client's map", "/s", 1_000_000, "", "1,710,000"),
    _row("resolve_unary", "Resolve over gRPC, 64 at the same time", "/s", 4000, "", "4,342"),
    _row("resolve_batch", "BatchResolve of 1,000, over 1,000 ranges, tenants", "/s", 500_000, "", "1,220,000"),
    _cost("map_lag_p50", "a range's new owner, commit to each of 1,000 clients, p50", "ms"),
    _cost("map_lag_p99", "the same, p99", "ms", 150),
    _cost("front_door_adds", "what the gateway adds to a GET, p50", "ms", 1.0),
    _row("front_door_get_32", "GET through the gateway, 32 clients", "/s", 2000),
)

OWNERS = (
    _cost("take_over_p50", "an owner killed, its tenants served again, p50", "s", 3),
    _cost("take_over_p99", "the same, p99", "s", 5),
    _cost("take_over_longest", "the same, longest", "s", 5),
    _row("take_over_samples", "the same, kills times tenants of the killed shard", ""),
    _cost("join_load", "a shard joins 4, load moved (1.25/5 is the bound)", "%", 25),
    _cost("join_moves", "the same, ranges moved", ""),
    _row("join_ranges", "the same, of so many", ""),
    _cost("join_seconds", "the same, from ready to the last move", "s"),
)

MILLION = (
    _cost("registry_start", "registry, start to its first answer", "s", 10),
    _cost("registry_memory", "registry, most memory", "MB", 300),
    _cost("registry_take_over", "registry, 250 ranges of an ended session given to others", "ms"),
    _cost("open_range", "registry, opening a range, median", "ms"),
    _cost("gateway_start", "gateway, start to serving", "s"),
    _cost("gateway_memory", "gateway, memory", "MB"),
    _row("million_resolve_memory", "id to place from a client's map", "/s", 1_000_000),
    _row("million_resolve_unary", "Resolve over gRPC, 64 at the same time", "/s", 4000),
    _row("million_resolve_batch", "BatchResolve of 1,000, tenants", "/s", 500_000),
    _row("million_resolve_memory_to_few_tenants", "from a map, as a ratio to 10,000 tenants in as many ranges", ""),
    _row("million_resolve_unary_to_few_tenants", "Resolve, as a ratio to 10,000 tenants in as many ranges", ""),
    _row("million_resolve_batch_to_few_tenants", "BatchResolve, as a ratio to 10,000 tenants in as many ranges", ""),
    _row("million_resolve_memory_to_few_ranges", "from a map, as a ratio to 10,000 tenants in 10 ranges", ""),
    _row("million_resolve_unary_to_few_ranges", "Resolve, as a ratio to 10,000 tenants in 10 ranges", ""),
    _row("million_resolve_batch_to_few_ranges", "BatchResolve, as a ratio to 10,000 tenants in 10 ranges", ""),
)

SECTIONS = {
    "One process on SQLite": ONE_PROCESS,
    "What Kubernetes' clients ask for": APIS,
    "Look-ups": LOOK_UPS,
    "Owners that change": OWNERS,
    "1,000,000 tenants in 1,000 ranges": MILLION,
}
