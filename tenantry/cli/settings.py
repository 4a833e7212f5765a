"""Every setting of `tenantry start`, in one place. Flags that kcp or kube-apiserver have are named as there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tenantry.flags import check_bounds, check_choice, check_together, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one process that runs everything."""

    root_directory: Path = setting(
        Path(".tenantry"),
        "directory of the data, the certificates and admin.kubeconfig",
        "as kcp's .kcp: beside the work, easy to throw away",
    )
    bind_address: str = setting(
        "127.0.0.1",
        "address to listen on",
        "a trial on a laptop should not be reachable from the network; kcp's own default is 0.0.0.0",
    )
    secure_port: int = setting(6443, "port of the HTTPS API; 0 takes a free one", "kcp's and kube-apiserver's default")
    external_hostname: str = setting(
        "", "host name that clients use, put into published URLs and the serving certificate", "empty means the bind address"
    )
    gateway_port: int = setting(
        6444, "port of the gRPC look-ups (ranges, shards, resolve, urls); 0 takes a free one", "the next one after the API's"
    )
    shards: int = setting(1, "shards to run in this process", "one core serves one; more show how ranges spread")
    range_capacity: int = setting(
        1000,
        "tenants that a range holds before the next one opens",
        "one published URL for each thousand tenants: a controller's informer on a URL stays of a handy size",
    )
    api_export_urls: bool = setting(
        False,
        "also publish URLs in the deprecated APIExport.status.virtualWorkspaces",
        "off as kcp's feature gate for it: endpoint slices tell who holds consumers, this field cannot",
    )
    tls_cert_file: str = setting("", "serving certificate in PEM", "empty: one is made from the CA under the root directory")
    tls_private_key_file: str = setting("", "its private key in PEM", "empty: as for --tls-cert-file")
    client_ca_file: str = setting(
        "",
        "CA in PEM whose client certificates authenticate (CN is the user, O are the groups)",
        "empty: the CA under the root directory",
    )
    token_auth_file: str = setting(
        "", 'CSV of static tokens: token,user,uid,"group1,group2"', "kube-apiserver's format, for trials and tests"
    )
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
    shutdown_grace_seconds: float = setting(
        10.0, "time for requests under way to end after SIGTERM", "watches end at once, writes take milliseconds"
    )
    log_level: str = setting("info", "debug, info, warning or error", "one line for each request at info")
    access_log: bool = setting(
        False, "write a line for each request", "half of the cost of a small GET; errors are logged in any case"
    )

    def __post_init__(self) -> None:
        bounds = (
            ("secure_port", 0, 65535),
            ("gateway_port", 0, 65535),
            ("shards", 1, 64),
            ("range_capacity", 1, 1_000_000),
            ("max_requests_inflight", 1, 1_000_000),
            ("max_mutating_requests_inflight", 1, 1_000_000),
            ("max_watches", 1, 10_000_000),
            ("max_request_body_bytes", 1024, 1 << 30),
            ("request_timeout_seconds", 0.1, 3600),
            ("watch_buffer_bytes", 64 * 1024, 1 << 32),
            ("history_events", 16, 10_000_000),
            ("shutdown_grace_seconds", 0, 3600),
        )
        check_bounds(self, bounds)
        check_together(self, "tls_cert_file", "tls_private_key_file")
        check_choice(self, "log_level", ("debug", "info", "warning", "error"))
