"""The settings of `tenantry registry`."""

from __future__ import annotations

from dataclasses import dataclass

from tenantry.apiserver.settings import PORTS, EtcdProcessSettings
from tenantry.base.flags import SettingError, Settings, other_default, setting

RETENTION_SECONDS_MIN = 60.0


@dataclass(frozen=True, kw_only=True)
class RangeSettings(Settings):
    """Settings that must be equal in all registries of a platform."""

    range_capacity: int = setting(
        1000,
        "tenants of a range; when a range is full, the next one opens",
        "one published URL for each thousand tenants keeps a controller's informer on a URL small",
        bounds=(1, 1_000_000),
    )


@dataclass(frozen=True, kw_only=True)
class RegistrySettings(RangeSettings, EtcdProcessSettings):
    registry_port: int = setting(
        6445, "port of the gRPC service; 0 takes a free one", "the next one after the gateways'", bounds=PORTS
    )
    serving_names: str = setting(
        "",
        "additional names and addresses in the serving certificate, separated by commas",
        "tenantry-registry, which shards and commands expect, is always included",
    )
    balance: bool = setting(
        True, "move ranges between shards so that their loads are similar", "a shard that joins gets its share automatically"
    )
    balance_churn: float = setting(
        0.09,
        "maximum fraction of the total load that a round of balancing moves; new shards are filled at once",
        "the limit of Google's Slicer",
        bounds=(0.001, 1),
    )
    election_ttl_seconds: float = setting(
        2.0,
        "how long a dead leader still counts as the leader",
        "etcd grants no shorter lease, and ranges of dead shards wait for the next leader",
        bounds=(1, 60),
    )
    etcd_retention_seconds: float = setting(
        3600.0,
        "how long etcd keeps its history; 0: do not compact etcd",
        "long enough to load a range and to resume a watch at a new owner; without compaction etcd grows without limit",
        bounds=(0, 30 * 24 * 3600),
    )
    shutdown_grace_seconds: float = other_default(2.0, "calls take milliseconds, and every registry answers them")

    def __post_init__(self) -> None:
        super().__post_init__()
        if 0 < self.etcd_retention_seconds < RETENTION_SECONDS_MIN:
            raise SettingError(
                f"--etcd-retention-seconds must be 0 or at least {RETENTION_SECONDS_MIN:g}: etcd has to keep a revision until a "
                "range is completely read at it"
            )
