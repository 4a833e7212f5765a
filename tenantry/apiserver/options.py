"""The settings that serving processes have in common, each declared once. Flags that kube-apiserver has are named as there."""

from __future__ import annotations

from dataclasses import dataclass

from tenantry.apiserver.limits import Limits
from tenantry.flags import SettingError, Settings, check_together, setting
from tenantry.storage.etcd.options import EtcdOptions

PORTS = (0, 65535)


@dataclass(frozen=True, kw_only=True)
class ProcessOptions(Settings):
    """Of everything that runs until it is told to end."""

    bind_address: str = setting("0.0.0.0", "address to listen on", "the platform's other machines call it")
    shutdown_grace_seconds: float = setting(
        10.0,
        "time for requests under way to end when it stops",
        "watches end at once, writes take milliseconds",
        bounds=(0, 3600),
    )
    log_level: str = setting(
        "info",
        "debug, info, warning or error",
        "one line for each change of an owner at info",
        choices=("debug", "info", "warning", "error"),
    )
    stall_warning_seconds: float = setting(
        0.1,
        "shortest stall of the event loop that is logged, with what ran",
        "nobody is answered meanwhile; /metrics shows the shorter ones too",
        bounds=(0.01, 60),
    )


@dataclass(frozen=True, kw_only=True)
class EtcdProcessOptions(ProcessOptions, EtcdOptions):
    """Of a process of a platform on etcd."""

    health_port: int = setting(
        6446,
        "port of /livez, /readyz and /metrics over plain HTTP; 0 takes a free one, -1 none",
        "probes bring no certificate",
        bounds=(-1, 65535),
    )


@dataclass(frozen=True, kw_only=True)
class PlatformOptions(Settings):
    """What all gateways and shards of a platform must have alike."""

    external_url: str = setting(
        "https://localhost:6443", "URL that clients use, put into published URLs", "a port of this machine, as with compose"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.external_url.startswith("https://") or self.external_url.endswith("/"):
            raise SettingError(f"--external-url is https://host:port without a slash at its end, not {self.external_url!r}")


@dataclass(frozen=True, kw_only=True)
class HttpsOptions(ProcessOptions):
    """Of a process with an HTTPS server of the API."""

    secure_port: int = setting(
        6443, "port of the HTTPS API; 0 takes a free one", "kcp's and kube-apiserver's default", bounds=PORTS
    )
    tls_cert_file: str = setting("", "serving certificate of the HTTPS API in PEM", "empty: one is made from the platform's CA")
    tls_private_key_file: str = setting("", "its private key in PEM", "empty: as for --tls-cert-file")
    client_ca_file: str = setting(
        "", "CA in PEM whose client certificates authenticate (CN is the user, O are the groups)", "empty: the platform's CA"
    )
    max_requests_inflight: int = setting(
        400,
        "reads at the same time before 429",
        "kube-apiserver's default; watches do not count",
        bounds=(1, 1_000_000),
    )
    max_mutating_requests_inflight: int = setting(
        200,
        "writes at the same time before 429",
        "kube-apiserver's default; more only queue behind the disk",
        bounds=(1, 1_000_000),
    )
    max_watches: int = setting(
        20000,
        "open watches before 429",
        "each costs about 60 KB with TLS, so this is about 1.2 GB at the worst",
        bounds=(1, 10_000_000),
    )
    max_request_body_bytes: int = setting(
        3 * 1024 * 1024, "largest request body before 413", "kube-apiserver's limit", bounds=(1024, 1 << 30)
    )
    request_timeout_seconds: float = setting(
        60.0, "longest a request that is no watch may take", "kube-apiserver's default", bounds=(0.1, 3600)
    )
    access_log: bool = setting(
        False, "write a line for each request", "half of the cost of a small GET; errors are logged in any case"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_together(self, "tls_cert_file", "tls_private_key_file")

    def limits(self, **more: int) -> Limits:
        """With further limits by their names there."""
        return Limits(
            body_bytes=self.max_request_body_bytes,
            reading_requests=self.max_requests_inflight,
            writing_requests=self.max_mutating_requests_inflight,
            watches=self.max_watches,
            request_timeout_seconds=self.request_timeout_seconds,
            drain_seconds=self.shutdown_grace_seconds,
            **more,
        )
