"""Every setting of `tenantry registry`."""

from __future__ import annotations

from dataclasses import dataclass

from tenantry.flags import SettingError, check_bounds, check_choice, setting
from tenantry.storage.etcd.options import EtcdOptions

RETENTION_SECONDS_MIN = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings(EtcdOptions):
    """The settings of one registry. All registries of a platform need the same `range_capacity`."""

    bind_address: str = setting("0.0.0.0", "address to listen on", "shards on other machines ask it for ranges")
    registry_port: int = setting(6445, "port of the gRPC service; 0 takes a free one", "the next one after the gateways'")
    health_port: int = setting(
        6446, "port of /livez, /readyz and /metrics over plain HTTP; 0 takes a free one, -1 none", "probes bring no certificate"
    )
    serving_names: str = setting(
        "",
        "further names and addresses for the serving certificate, separated by commas",
        "tenantry-registry, which is what shards and commands expect, is always in",
    )
    range_capacity: int = setting(
        1000,
        "tenants that a range holds before the next one opens",
        "one published URL for each thousand tenants: a controller's informer on a URL stays of a handy size",
    )
    balance: bool = setting(
        True, "move ranges between shards so that they are loaded alike", "a shard that joins should get its share by itself"
    )
    balance_churn: float = setting(
        0.09,
        "part of the whole load that a round of balancing moves at most; new shards are filled at once in any case",
        "Google's Slicer moves no more at once",
    )
    election_ttl_seconds: float = setting(
        2.0, "how long a dead leader still counts as one", "etcd grants no less, and takes over dead shards' ranges wait for it"
    )
    etcd_retention_seconds: float = setting(
        3600.0,
        "for how long etcd keeps its past; 0: something else has etcd compacted",
        "time to load a range and to resume a watch at a range's new owner; without compaction etcd only grows",
    )
    shutdown_grace_seconds: float = setting(
        2.0, "time for calls under way to end after SIGTERM", "they take milliseconds, and any other registry answers them too"
    )
    log_level: str = setting("info", "debug, info, warning or error", "one line for each change of an owner at info")

    def __post_init__(self) -> None:
        check_bounds(
            self,
            (
                ("registry_port", 0, 65535),
                ("health_port", -1, 65535),
                ("range_capacity", 1, 1_000_000),
                ("balance_churn", 0.001, 1),
                ("election_ttl_seconds", 1, 60),
                ("etcd_retention_seconds", 0, 30 * 24 * 3600),
                ("shutdown_grace_seconds", 0, 3600),
            ),
        )
        if 0 < self.etcd_retention_seconds < RETENTION_SECONDS_MIN:
            raise SettingError(
                f"--etcd-retention-seconds must be 0 or at least {RETENTION_SECONDS_MIN:g}: ranges have to be read in less time "
                "than etcd keeps the revision that they are read at"
            )
        check_choice(self, "log_level", ("debug", "info", "warning", "error"))
