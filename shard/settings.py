"""Every setting of `tenantry shard`."""

from __future__ import annotations

from dataclasses import dataclass

from tenantry.flags import SettingError, check_bounds, check_choice, check_together, setting
from tenantry.storage.etcd.options import EtcdOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSettings(EtcdOptions):
    """The settings of one shard. All gateways and shards of a platform need the same `external_url`."""

    shard_name: str = setting("", "name that people see; shards are told apart by an id of their own", "empty: the host's name")
    bind_address: str = setting("0.0.0.0", "address to listen on", "gateways and other shards on other machines call it")
    secure_port: int = setting(
        6443, "port of the HTTPS API for gateways and other shards; 0 takes a free one", "the same as the gateways'"
    )
    advertise_address: str = setting(
        "", "host name or address by which gateways and other shards reach it", "empty: the address from which etcd is reached"
    )
    health_port: int = setting(
        6446, "port of /livez, /readyz and /metrics over plain HTTP; 0 takes a free one, -1 none", "probes bring no certificate"
    )
    external_url: str = setting(
        "https://localhost:6443", "URL that clients use, put into published URLs", "a port of this machine, as with compose"
    )
    registry_servers: str = setting(
        "127.0.0.1:6445", "host:port of the registries, separated by commas; they are asked for new ranges", "one on this machine"
    )
    session_ttl_seconds: float = setting(
        2.0,
        "how long a shard that gives no sign of life still counts as alive",
        "a dead shard's ranges wait for it; etcd grants no less than its own election takes",
    )
    handover_seconds: float = setting(
        45.0,
        "how long after SIGTERM to wait until other shards have its ranges",
        "a range takes well under a second; what is left is taken over as from a dead shard",
    )
    shutdown_grace_seconds: float = setting(
        10.0, "time for requests under way to end after that", "watches end at once, writes take milliseconds"
    )
    load_report_seconds: float = setting(
        2.0, "how often the registry is told what the ranges hold", "balancing looks every 5 s, and one write is cheap"
    )
    peer_patience_seconds: float = setting(
        5.0, "how long a call to another shard waits for a range to be served", "a dead shard's ranges are taken over by then"
    )
    client_ca_file: str = setting(
        "", "CA in PEM whose client certificates authenticate (CN is the user, O are the groups)", "empty: the platform's CA"
    )
    token_auth_file: str = setting(
        "", 'CSV of static tokens: token,user,uid,"group1,group2"', "kube-apiserver's format, for trials and tests"
    )
    service_account_key_file: str = setting(
        "", "RSA key in PEM that signs service account tokens", "empty: the one in etcd, made by the first shard"
    )
    tls_cert_file: str = setting("", "serving certificate in PEM", "empty: one is made from the platform's CA")
    tls_private_key_file: str = setting("", "its private key in PEM", "empty: as for --tls-cert-file")
    anonymous_auth: bool = setting(
        True, "let requests without credentials in as system:anonymous", "health and version must answer probes without a token"
    )
    enable_home_workspaces: bool = setting(
        True, "give users a workspace of their own when they ask for `workspaces/~` in root", "kcp's default"
    )
    home_workspaces_home_creator_groups: str = setting(
        "system:authenticated", "groups, separated by commas, whose users get a home workspace", "kcp's default"
    )
    max_requests_inflight: int = setting(
        400, "reads at the same time before 429", "kube-apiserver's default; watches do not count"
    )
    max_mutating_requests_inflight: int = setting(
        200, "writes at the same time before 429", "kube-apiserver's default; more only queue behind the disk"
    )
    max_watches: int = setting(
        20000, "open watches before 429", "each costs about 60 KB with TLS, so this is about 1.2 GB at the worst"
    )
    max_request_body_bytes: int = setting(3 * 1024 * 1024, "largest request body before 413", "kube-apiserver's limit")
    request_timeout_seconds: float = setting(60.0, "longest a request that is no watch may take", "kube-apiserver's default")
    watch_buffer_bytes: int = setting(
        8 * 1024 * 1024, "bytes that may wait for a slow watcher before it is dropped", "a list of thousands of objects fits once"
    )
    history_events: int = setting(
        5000, "events kept for each resource of a range, for watches that resume", "minutes of a busy resource, a few MB"
    )
    log_level: str = setting("info", "debug, info, warning or error", "one line for each change of an owner at info")
    access_log: bool = setting(
        False, "write a line for each request", "half of the cost of a small GET; errors are always logged"
    )

    def __post_init__(self) -> None:
        check_bounds(
            self,
            (
                ("secure_port", 0, 65535),
                ("health_port", -1, 65535),
                ("session_ttl_seconds", 1, 60),
                ("handover_seconds", 0, 3600),
                ("shutdown_grace_seconds", 0, 3600),
                ("load_report_seconds", 0.1, 3600),
                ("peer_patience_seconds", 0, 60),
                ("max_requests_inflight", 1, 1_000_000),
                ("max_mutating_requests_inflight", 1, 1_000_000),
                ("max_watches", 1, 10_000_000),
                ("max_request_body_bytes", 1024, 1 << 30),
                ("request_timeout_seconds", 0.1, 3600),
                ("watch_buffer_bytes", 64 * 1024, 1 << 32),
                ("history_events", 16, 10_000_000),
            ),
        )
        check_together(self, "tls_cert_file", "tls_private_key_file")
        check_choice(self, "log_level", ("debug", "info", "warning", "error"))
        if not self.external_url.startswith("https://") or self.external_url.endswith("/"):
            raise SettingError(f"--external-url is https://host:port without a slash at its end, not {self.external_url!r}")
        if not self.registries():
            raise SettingError("--registry-servers names no registry")

    def registries(self) -> tuple[str, ...]:
        return _listed(self.registry_servers)

    def home_creator_groups(self) -> tuple[str, ...] | None:
        """None where nobody gets a home."""
        return _listed(self.home_workspaces_home_creator_groups) if self.enable_home_workspaces else None


def _listed(text: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, text.split(","))))
