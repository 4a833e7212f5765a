"""The figures: what is measured, the reference's figure on this kind of machine, and what is to be reached."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """`kcp` and `prototype` are texts as they were measured; `reach` is the bound in `unit`; `at_most` tells its direction."""

    name: str
    what: str
    unit: str
    reach: float
    kcp: str
    prototype: str = ""
    at_most: bool = False

    def reached(self, value: float) -> bool:
        return value <= self.reach if self.at_most else value >= self.reach


ROWS = (
    Row("first_start", "first start to ready", "s", 2.5, "26 s", at_most=True),
    Row("later_start", "later start to ready", "s", 1.5, "", at_most=True),
    Row("idle_memory", "memory when idle", "MB", 150, "500 MB", at_most=True),
    Row("workspaces", "200 workspaces at once by 16 clients, Ready", "/s", 150, "3.3"),
    Row("one_workspace", "one workspace, POST to Ready seen on a watch (median of 20)", "ms", 25, "520", at_most=True),
    Row("workspace_memory", "memory for each empty workspace (2,000 more)", "KiB", 100, "4,700-8,400", at_most=True),
    Row("workspaces_gone", "delete those 200, gone", "/s", 150, "2.9"),
    Row("create_1", "ConfigMap of 512 B, create, 1 client", "/s", 500, "306", "1,014"),
    Row("create_32", "ConfigMap of 512 B, create, 32 clients", "/s", 1500, "779", "3,610"),
    Row("get_32", "GET, 32 clients, consistent", "/s", 6000, "1,848", "21,770"),
    Row("patch_32", "merge-patch, 32 clients", "/s", 1200, "741", "3,557"),
    Row("list_500", "LIST limit=500, 8 clients", "/s", 600, "113", "997"),
    Row("list_all", "LIST of 7,400 objects, 4 clients that accept gzip", "/s", 40, "16 (p50 240 ms)", "~55"),
    Row("watch_100", "one object changed 50 times, 100 watchers, events", "/s", 18000, "13,600", "22,000"),
    Row("watch_1000", "one object changed 50 times, 1,000 watchers, events", "/s", 25000, "4,900 (40 % late)", "32,000"),
    Row("resolve_memory", "id to place from a client's map", "/s", 1_000_000, "", "1,710,000"),
    Row("resolve_unary", "Resolve over gRPC, 64 at the same time", "/s", 4000, "", "4,342"),
    Row("resolve_batch", "BatchResolve of 1,000, over 1,000 ranges, tenants", "/s", 500_000, "", "1,220,000"),
    Row("map_lag_p50", "a range's move, commit to with 1,000 clients, p50", "ms", 100, "", at_most=True),
    Row("map_lag_p99", "the same, p99", "ms", 150, "", at_most=True),
    Row("front_door_adds", "what the front door adds to a GET, p50", "ms", 1.0, "", at_most=True),
    Row("front_door_get_32", "GET through the front door, 32 clients", "/s", 2000, ""),
)
