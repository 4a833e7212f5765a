"""The settings of `tenantry gateway`."""

from __future__ import annotations

from dataclasses import dataclass

from tenantry.apiserver.authentication.settings import FrontProxySettings
from tenantry.apiserver.settings import PORTS, EtcdProcessSettings, HttpsSettings, PlatformSettings
from tenantry.base.flags import other_default, setting


@dataclass(frozen=True, kw_only=True)
class GatewaySettings(FrontProxySettings, HttpsSettings, PlatformSettings, EtcdProcessSettings):
    gateway_port: int = setting(
        6444, "port of the gRPC look-ups; 0 takes a free one", "the next one after the API's", bounds=PORTS
    )
    serving_names: str = setting(
        "",
        "additional names and addresses in the serving certificates, separated by commas",
        "the external URL's is always included",
    )
    access_directory: str = setting(
        "",
        "directory to which to write the addresses and certificates that commands such as `tenantry ranges` need",
        "empty: a gateway writes no files",
    )
    patience_seconds: float = setting(
        5.0,
        "how long a request waits until its range is served",
        "a dead shard's ranges have a new owner within this time",
        bounds=(0, 60),
    )
    stale_owner_seconds: float = setting(
        1.0,
        "how long after a move requests and watches at the former owner are aborted",
        "a live owner ends its watches itself within milliseconds; a frozen one never does",
        bounds=(0, 60),
    )
    view_answer_seconds: float = setting(
        10.0,
        "how long a process of views may take until its answer begins; then the request gets 503, and others do not wait for it",
        "other requests get 503 meanwhile, so it is shorter than the 60 s of a request",
        bounds=(0.05, 600),
    )
    max_map_followers: int = setting(
        10000,
        "maximum number of clients that follow the map at the same time",
        "a change reaches 1,000 clients in 0.1 s; add gateways to serve more",
        bounds=(1, 1_000_000),
    )
    max_requests_inflight: int = other_default(1600, "the requests of four shards; each shard has its own limit")
    max_mutating_requests_inflight: int = other_default(800, "as for reads")
    max_watches: int = other_default(20000, "a watch takes about 110 KB with TLS on both sides, so this is at most about 2 GB")
    log_level: str = other_default("info", "malformed requests are logged at info, truncated answers at warning")
    access_log: bool = other_default(False, "it takes a tenth of the time of a forwarded request")
