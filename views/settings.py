"""The settings of `tenantry views`."""

from __future__ import annotations

from dataclasses import dataclass

from tenantry.apiserver.forwarded_settings import ForwardedSettings
from tenantry.base.flags import listed, other_default, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeMemory:
    """Which ranges a process keeps in memory, and how long requests and watches wait for their changes. The fields are those of
    `views.ranges.LoadedRanges`."""

    fresh_seconds: float = 3.0
    broken_seconds: float = 15.0
    idle_seconds: float = 600.0
    ranges_max: int = 100


@dataclass(frozen=True, kw_only=True)
class ViewsSettings(ForwardedSettings):
    only: str = setting("", "names of the views to serve, separated by commas", "empty: all that are installed")
    views_name: str = setting(
        "", "name of the process; it keeps its ranges over a restart if it keeps its name", "empty: the host's name"
    )
    session_ttl_seconds: float = setting(
        5.0,
        "how long a process that does not answer still counts as alive",
        "longer than a garbage collection or a large list, shorter than a client's patience",
        bounds=(1, 60),
    )
    fresh_seconds: float = setting(
        3.0,
        "how long a request waits until memory shows what was committed before it; then it gets 503",
        "it takes a round trip to etcd",
        bounds=(0.1, 60),
    )
    broken_seconds: float = setting(
        15.0,
        "how long a range may be without changes from etcd before its watches are ended",
        "etcd has a new leader within a few seconds",
        bounds=(1, 600),
    )
    idle_seconds: float = setting(
        600.0,
        "how long a range stays in memory without requests and watches",
        "a provider that comes back within minutes finds it loaded",
        bounds=(1, 86400),
    )
    max_ranges: int = setting(
        100,
        "maximum number of ranges in memory; the least recently used is dropped for another one",
        "as many as a shard that serves half of a platform of 100,000 tenants",
        bounds=(1, 100_000),
    )
    owner_patience_seconds: float = setting(
        5.0,
        "how long a write waits until a shard serves its range",
        "a dead shard's ranges have a new owner within this time",
        bounds=(0, 60),
    )
    secure_port: int = other_default(6443, "the same as the gateways'; gateways and shards connect to it")

    def names(self) -> tuple[str, ...]:
        return listed(self.only)

    def memory(self) -> RangeMemory:
        return RangeMemory(
            fresh_seconds=self.fresh_seconds,
            broken_seconds=self.broken_seconds,
            idle_seconds=self.idle_seconds,
            ranges_max=self.max_ranges,
        )
