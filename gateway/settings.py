"""Every setting of `tenantry gateway`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tenantry.flags import SettingError, check_bounds, check_choice, check_together, setting
from tenantry.storage.etcd.options import EtcdOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings(EtcdOptions):
    """The settings of one gateway. All gateways and shards of a platform need the same `external_url`."""

    bind_address: str = setting("0.0.0.0", "address to listen on", "a gateway is there to be reached")
    secure_port: int = setting(6443, "port of the HTTPS API; 0 takes a free one", "kcp's and kube-apiserver's default")
    gateway_port: int = setting(6444, "port of the gRPC look-ups; 0 takes a free one", "the next one after the API's")
    health_port: int = setting(
        6446, "port of /livez, /readyz and /metrics over plain HTTP; 0 takes a free one, -1 none", "probes bring no certificate"
    )
    external_url: str = setting(
        "https://localhost:6443", "URL that clients use, put into published URLs", "a port of this machine, as with compose"
    )
    serving_names: str = setting(
        "", "further names and addresses for the serving certificates, separated by commas", "the external URL's is always in"
    )
    tls_cert_file: str = setting("", "serving certificate of the HTTPS API in PEM", "empty: one is made from the platform's CA")
    tls_private_key_file: str = setting("", "its private key in PEM", "empty: as for --tls-cert-file")
    client_ca_file: str = setting(
        "", "CA in PEM whose client certificates authenticate (CN is the user, O are the groups)", "empty: the platform's CA"
    )
    access_directory: Path = setting(
        Path(),
        "directory in which to leave the addresses and certificates that `tenantry ranges` and its siblings need",
        "empty: none, a gateway writes no files",
    )
    patience_seconds: float = setting(
        5.0, "how long a request waits for its range to be served", "a dead shard's ranges are taken over within this time"
    )
    stale_owner_seconds: float = setting(
        1.0,
        "how long after a move what is still under way to the former owner is cut",
        "an owner that lives ends its watches itself, in milliseconds; one that is stopped never does",
    )
    max_requests_inflight: int = setting(
        1600, "reads at the same time before 429", "four shards' worth; each shard has its own bound behind"
    )
    max_mutating_requests_inflight: int = setting(800, "writes at the same time before 429", "as for reads")
    max_watches: int = setting(
        20000, "open watches before 429", "each costs about 110 KB with TLS on both sides, so this is about 2 GB at the worst"
    )
    max_map_followers: int = setting(
        10000, "clients that follow the map at the same time", "a change reaches 1,000 in 0.1 s; more gateways serve more"
    )
    max_request_body_bytes: int = setting(3 * 1024 * 1024, "largest request body before 413", "kube-apiserver's limit")
    request_timeout_seconds: float = setting(60.0, "longest a request that is no watch may take", "kube-apiserver's default")
    shutdown_grace_seconds: float = setting(
        10.0, "time for requests under way to end after SIGTERM", "watches end at once, writes take milliseconds"
    )
    log_level: str = setting("info", "debug, info, warning or error", "one line for each request at info")
    access_log: bool = setting(False, "write a line for each request", "a tenth of the cost of a request that is passed on")

    def __post_init__(self) -> None:
        check_bounds(
            self,
            (
                ("secure_port", 0, 65535),
                ("gateway_port", 0, 65535),
                ("health_port", -1, 65535),
                ("patience_seconds", 0, 60),
                ("stale_owner_seconds", 0, 60),
                ("max_requests_inflight", 1, 1_000_000),
                ("max_mutating_requests_inflight", 1, 1_000_000),
                ("max_watches", 1, 10_000_000),
                ("max_map_followers", 1, 1_000_000),
                ("max_request_body_bytes", 1024, 1 << 30),
                ("request_timeout_seconds", 0.1, 3600),
                ("shutdown_grace_seconds", 0, 3600),
            ),
        )
        check_together(self, "tls_cert_file", "tls_private_key_file")
        check_choice(self, "log_level", ("debug", "info", "warning", "error"))
        if not self.external_url.startswith("https://") or self.external_url.endswith("/"):
            raise SettingError(f"--external-url is https://host:port without a slash at its end, not {self.external_url!r}")
