"""Flags that serving processes have in common. Each is declared once. Flags that kube-apiserver has too have the same names."""

from __future__ import annotations

from dataclasses import dataclass

from tenantry.apiserver.authentication.settings import FrontProxySettings, JwtSettings, TokenWebhookSettings
from tenantry.base.flags import SettingError, Settings, check_together, setting
from tenantry.http.certificates import LIFE_SECONDS
from tenantry.http.limits import Limits
from tenantry.storage.etcd.settings import EtcdSettings

PORTS = (0, 65535)


@dataclass(frozen=True, kw_only=True)
class ProcessSettings(Settings):
    """The flags of every process."""

    bind_address: str = setting("0.0.0.0", "address to listen on", "the platform's other machines call it")
    shutdown_grace_seconds: float = setting(
        10.0,
        "how long running requests may take to end when the process stops",
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
        "no request is answered during a stall; /metrics also counts shorter ones",
        bounds=(0.01, 60),
    )
    certificate_life_seconds: float = setting(
        LIFE_SECONDS,
        "life of the certificates that it issues for itself; each is renewed with two fifths of it left, without a restart",
        "a year; none outlives the platform's CA",
        bounds=(5, 3650 * 86400),
    )


@dataclass(frozen=True, kw_only=True)
class EtcdProcessSettings(ProcessSettings, EtcdSettings):
    """The flags of a process of a platform on etcd."""

    health_port: int = setting(
        6446,
        "port of /livez, /readyz and /metrics over plain HTTP; 0 takes a free one, -1 none",
        "probes bring no certificate",
        bounds=(-1, 65535),
    )


@dataclass(frozen=True, kw_only=True)
class PlatformSettings(Settings):
    """Flags that must be the same for all gateways and shards of a platform."""

    external_url: str = setting(
        "https://localhost:6443", "URL that clients use, put into published URLs", "a port of this machine, as with compose"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.external_url.startswith("https://") or self.external_url.endswith("/"):
            raise SettingError(f"--external-url is https://host:port without a slash at its end, not {self.external_url!r}")


@dataclass(frozen=True, kw_only=True)
class HttpsSettings(ProcessSettings):
    """The flags of a process that serves the API over HTTPS."""

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
        "kube-apiserver's default; more writes only wait for the disk",
        bounds=(1, 1_000_000),
    )
    max_watches: int = setting(
        20000,
        "open watches before 429",
        "each costs about 60 KB with TLS, so this is about 1.2 GB at the worst",
        bounds=(1, 10_000_000),
    )
    largest_tenant_share: float = setting(
        0.5,
        "the largest part of a limit that one tenant or one user can have",
        "half, so that the next tenant gets as much; 1 where there is only one tenant",
        bounds=(0.001, 1),
    )
    max_queued_requests: int = setting(
        1000,
        "requests that wait for their turn before 429",
        "each holds a connection and some 10 KB",
        bounds=(0, 1_000_000),
    )
    queue_seconds: float = setting(
        2.0,
        "how long a request waits for its turn before 429",
        "enough for a burst; a client retries a 429 after a pause",
        bounds=(0, 60),
    )
    max_receiving_bodies: int = setting(
        4000,
        "request bodies that are being received at the same time before 429",
        "each holds a connection and the bytes received so far",
        bounds=(1, 1_000_000),
    )
    max_request_memory_bytes: int = setting(
        256 * 1024 * 1024,
        "bytes of requests in memory before 429",
        "half of it is enough for forty bodies of the largest size",
        bounds=(1 << 20, 1 << 40),
    )
    max_connections: int = setting(
        50_000, "open connections", "each watch has one of its own, an idle one costs about 50 KB", bounds=(1, 1 << 20)
    )
    max_tls_handshakes: int = setting(
        2000,
        "connections whose TLS handshake has not ended; one more closes the oldest",
        "each costs 40 KB, and a handshake takes milliseconds",
        bounds=(1, 1 << 20),
    )
    tls_handshake_timeout_seconds: float = setting(
        10.0, "how long a TLS handshake may take", "a client sends two packets, the first of them at once", bounds=(0.1, 3600)
    )
    max_unauthenticated_connections: int = setting(
        4000,
        "connections whose caller has not been authenticated; one more closes the oldest",
        "clients with credentials send them within milliseconds",
        bounds=(1, 1 << 20),
    )
    unauthenticated_idle_seconds: float = setting(
        30.0,
        "how long such a connection may be without a request",
        "connection pools of authenticated clients keep theirs for 90 s",
        bounds=(0.1, 3600),
    )
    request_header_timeout_seconds: float = setting(
        10.0, "how long the head of a request may take", "it comes in one packet or two", bounds=(0.1, 3600)
    )
    request_body_timeout_seconds: float = setting(
        10.0,
        "how long the body of a request may take before 408; each 16 KiB received adds a second",
        "a slow connection still makes progress",
        bounds=(0.1, 3600),
    )
    large_body_bytes_per_second: int = setting(
        16 * 1024 * 1024,
        "rate at which bodies of more than 64 KiB are read, all together, while several tenants use the process; 0: no limit",
        "five of the largest in a second; the work for each delays all other requests",
        bounds=(0, 1 << 40),
    )
    large_body_bytes_at_once: int = setting(
        1024 * 1024,
        "bytes of bodies of more than 64 KiB that are processed at the same time for one tenant, or one body; 0: no limit",
        "decoded, they take ten times the memory, and one interpreter does not finish more sooner",
        bounds=(0, 1 << 40),
    )
    max_request_body_bytes: int = setting(
        3 * 1024 * 1024, "largest request body before 413", "kube-apiserver's limit", bounds=(1024, 1 << 30)
    )
    request_timeout_seconds: float = setting(
        60.0, "longest time for a request that is not a watch", "kube-apiserver's default", bounds=(0.1, 3600)
    )
    access_log: bool = setting(
        False, "write a log line for each request", "half of the cost of a small GET; errors are logged in any case"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_together(self, "tls_cert_file", "tls_private_key_file")

    def limits(self, **more: int) -> Limits:
        """The limits of the HTTPS server. `more` are further limits, by their names in `Limits`."""
        return Limits(
            body_bytes=self.max_request_body_bytes,
            reading_requests=self.max_requests_inflight,
            writing_requests=self.max_mutating_requests_inflight,
            watches=self.max_watches,
            largest_share=self.largest_tenant_share,
            queued_requests=self.max_queued_requests,
            queue_seconds=self.queue_seconds,
            receiving_bodies=self.max_receiving_bodies,
            request_memory_bytes=self.max_request_memory_bytes,
            connections=self.max_connections,
            tls_handshakes=self.max_tls_handshakes,
            tls_handshake_timeout_seconds=self.tls_handshake_timeout_seconds,
            unauthenticated_connections=self.max_unauthenticated_connections,
            unauthenticated_idle_seconds=self.unauthenticated_idle_seconds,
            head_timeout_seconds=self.request_header_timeout_seconds,
            body_timeout_seconds=self.request_body_timeout_seconds,
            large_body_bytes_per_second=self.large_body_bytes_per_second,
            large_body_bytes_at_once=self.large_body_bytes_at_once,
            request_timeout_seconds=self.request_timeout_seconds,
            drain_seconds=self.shutdown_grace_seconds,
            **more,
        )


@dataclass(frozen=True, kw_only=True)
class AuthenticationSettings(JwtSettings, TokenWebhookSettings, FrontProxySettings):
    """The flags of a process that authenticates the users of workspaces."""

    token_auth_file: str = setting(
        "", 'CSV of static tokens: token,user,uid,"group1,group2"', "kube-apiserver's format, for trials and tests"
    )
    anonymous_auth: bool = setting(
        True,
        "accept requests without credentials as system:anonymous",
        "health and version endpoints must answer probes without a token",
    )
    service_account_issuer: str = setting(
        "https://kcp.default.svc",
        "issuer of service accounts' tokens; others after it, with commas between, are accepted too",
        "kcp's; where it is the URL of the server, other systems find the keys there (OpenID Connect Discovery)",
    )
    api_audiences: str = setting(
        "",
        "audiences of the API server in tokens, with commas between; empty: the issuer",
        "kube-apiserver's rule",
    )


@dataclass(frozen=True, kw_only=True)
class WatchSettings(Settings):
    """The flags of a process that serves watches of ranges."""

    watch_buffer_bytes: int = setting(
        8 * 1024 * 1024,
        "bytes that may wait for a slow watcher before its watch is ended",
        "room for the events of a list of thousands of objects",
        bounds=(64 * 1024, 1 << 32),
    )
    history_events: int = setting(
        5000,
        "events kept for each resource of a range, for watches that resume",
        "some minutes of a busy resource, a few MB",
        bounds=(16, 10_000_000),
    )
