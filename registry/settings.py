"""Every setting of `tenantry registry`."""

from __future__ import annotations

from dataclasses import dataclass

from tenantry.apiserver.options import PORTS, EtcdProcessOptions
from tenantry.flags import Settings, other_default, setting


@dataclass(frozen=True, kw_only=True)
class RangeOptions(Settings):
    """What all registries of a platform must have alike."""

    range_capacity: int = setting(
        1000,
        "tenants that a range holds before the next one opens",
        "one published URL for each thousand tenants: a controller's informer on a URL stays of a handy size",
        bounds=(1, 1_000_000),
    )


@dataclass(frozen=True, kw_only=True)
class RegistrySettings(RangeOptions, EtcdProcessOptions):
    registry_port: int = setting(
        6445, "port of the gRPC service; 0 takes a free one", "the next one after the gateways'", bounds=PORTS
    )
    serving_names: str = setting(
        "",
        "further names and addresses for the serving certificate, separated by commas",
        "tenantry-registry, which is what shards and commands expect, is always in",
    )
    balance: bool = setting(
        True, "move ranges between shards so that they are loaded alike", "a shard that joins should get its share by itself"
    )
    balance_churn: float = setting(
        0.09,
        "part of the whole load that a round of balancing moves at most; new shards are filled at once in any case",
        "Google's Slicer moves no more at once",
        bounds=(0.001, 1),
    )
    election_ttl_seconds: float = setting(
        2.0,
        "how long a dead leader still counts as one",
        "etcd grants no less, and takes over dead shards' ranges wait for it",
        bounds=(1, 60),
    )
    shutdown_grace_seconds: float = other_default(2.0, "calls take milliseconds, and any other registry answers them too")
