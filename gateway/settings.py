"""Every setting of `tenantry gateway`."""

from __future__ import annotations

from dataclasses import dataclass

from tenantry.apiserver.settings import PORTS, EtcdProcessSettings, HttpsSettings, PlatformSettings
from tenantry.base.flags import other_default, setting


@dataclass(frozen=True, kw_only=True)
class GatewaySettings(HttpsSettings, PlatformSettings, EtcdProcessSettings):
    gateway_port: int = setting(
        6444, "port of the gRPC look-ups; 0 takes a free one", "the next one after the API's", bounds=PORTS
    )
    serving_names: str = setting(
        "", "further names and addresses for the serving certificates, separated by commas", "the external URL's is always in"
    )
    access_directory: str = setting(
        "",
        "directory in which to leave the addresses and certificates that `tenantry ranges` and its siblings need",
        "empty: none, a gateway writes no files",
    )
    patience_seconds: float = setting(
        5.0,
        "how long a request waits for its range to be served",
        "a dead shard's ranges are taken over within this time",
        bounds=(0, 60),
    )
    stale_owner_seconds: float = setting(
        1.0,
        "how long after a move what is still under way to the former owner is cut",
        "an owner that lives ends its watches itself, in milliseconds; one that is stopped never does",
        bounds=(0, 60),
    )
    max_map_followers: int = setting(
        10000,
        "clients that follow the map at the same time",
        "a change reaches 1,000 in 0.1 s; more gateways serve more",
        bounds=(1, 1_000_000),
    )
    max_requests_inflight: int = other_default(1600, "four shards' worth; each shard has its own bound behind")
    max_mutating_requests_inflight: int = other_default(800, "as for reads")
    max_watches: int = other_default(20000, "each costs about 110 KB with TLS on both sides, so this is about 2 GB at the worst")
    log_level: str = other_default("info", "malformed requests at info, answers that were cut short at warning")
    access_log: bool = other_default(False, "a tenth of the cost of a request that is passed on")
