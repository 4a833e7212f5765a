"""Every setting of `tenantry registry`."""

from __future__ import annotations

from dataclasses import dataclass

from tenantry.apiserver.settings import PORTS, EtcdProcessSettings
from tenantry.base.flags import SettingError, Settings, other_default, setting

RETENTION_SECONDS_MIN = 60.0


@dataclass(frozen=True, kw_only=True)
class RangeSettings(Settings):
    """What all registries of a platform must have alike."""

    range_capacity: int = setting(
        1000,
        "tenants that a range holds before the next one opens",
        "one published URL for each thousand tenants: a controller's informer on a URL stays of a handy size",
        bounds=(1, 1_000_000),
    )


@dataclass(frozen=True, kw_only=True)
class RegistrySettings(RangeSettings, EtcdProcessSettings):
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
    etcd_retention_seconds: float = setting(
        3600.0,
        "for how long etcd keeps its history; 0: something else has etcd compacted",
        "time to load a range and to resume a watch at a range's new owner; without compaction etcd only grows",
        bounds=(0, 30 * 24 * 3600),
    )
    shutdown_grace_seconds: float = other_default(2.0, "calls take milliseconds, and any other registry answers them too")

    def __post_init__(self) -> None:
        super().__post_init__()
        if 0 < self.etcd_retention_seconds < RETENTION_SECONDS_MIN:
            raise SettingError(
                f"--etcd-retention-seconds must be 0 or at least {RETENTION_SECONDS_MIN:g}: ranges have to be read in less time "
                "than etcd keeps the revision that they are read at"
            )
