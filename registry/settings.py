"""Every setting of `tenantry registry`."""

from __future__ import annotations

from dataclasses import dataclass

from tenantry.flags import check_bounds, check_choice, setting
from tenantry.storage.etcd.options import EtcdOptions


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
                ("shutdown_grace_seconds", 0, 3600),
            ),
        )
        check_choice(self, "log_level", ("debug", "info", "warning", "error"))
