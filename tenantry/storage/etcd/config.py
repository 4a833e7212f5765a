"""The addresses, credentials and time-outs of an etcd cluster."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import msgspec


class Endpoint(msgspec.Struct, frozen=True):
    """One member of the cluster. `target`: `host:port`. `secure`: whether it uses TLS."""

    target: str
    secure: bool


class EtcdConfig(msgspec.Struct, frozen=True):
    """How to reach an etcd cluster, and how long its calls may take.

    `endpoints`: URLs such as `https://etcd-0:2379`. One endpoint is used at a time; the next one when it fails.
    `certificate_authority`, `certificate`, `certificate_key`: PEM files for `https` endpoints. They are read again for every new
    connection, so they may be renewed in place. `server_name`: the name in the server's certificate, if it is not the endpoint's
    host.
    `user`, `password`: for an etcd with password authentication. The user needs the role root: etcd 3.6 and later tells its
    version only to root, and before 3.5.13 a watch of history has to read all keys (`watch`).
    `opening_seconds`: how long a starting process waits for an etcd that does not answer yet, as kube-apiserver does.
    `deadline_seconds`: the deadline of a call with all its retries. `dial_seconds`: the deadline of the first answer of an
    endpoint.
    `commit_seconds`: the deadline of a commit. etcd holds a request for up to 7 s while it has no leader. A shorter deadline,
    followed by a look at the journal at the new leader, is faster.
    `first_retry_seconds`, `last_retry_seconds`: the pause when no endpoint answers, doubled each time.
    `reconnect_seconds`: how long a watch that lost its connection tries to resume before it fails.
    `keepalive_seconds`, `keepalive_timeout_seconds`: how often a connection with calls in progress is probed, and how long an
    answer may take before the connection is closed. etcd refuses clients that probe more often than every 5 s.
    `progress_seconds`: how often a quiet watch requests progress, so that it resumes from a recent revision.
    """

    endpoints: tuple[str, ...]
    certificate_authority: Path | None = None
    certificate: Path | None = None
    certificate_key: Path | None = None
    server_name: str = ""
    user: str = ""
    password: str = ""
    opening_seconds: float = 20.0
    deadline_seconds: float = 5.0
    dial_seconds: float = 2.0
    commit_seconds: float = 2.0
    first_retry_seconds: float = 0.05
    last_retry_seconds: float = 1.0
    reconnect_seconds: float = 60.0
    keepalive_seconds: float = 10.0
    keepalive_timeout_seconds: float = 3.0
    progress_seconds: float = 30.0

    def __post_init__(self) -> None:
        """Validates the values. Raises ValueError."""
        if not self.endpoints:
            raise ValueError("no etcd endpoint is given")
        if (self.certificate is None) != (self.certificate_key is None):
            raise ValueError("a client certificate for etcd needs its key, and a key its certificate")
        for url in self.endpoints:
            parse_endpoint(url)


def parse_endpoint(url: str) -> Endpoint:
    """Parses `http://host:port` or `https://host:port`. The default port is 2379. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.username is not None:
        raise ValueError(f"an etcd endpoint is http://host:port or https://host:port, not {url!r}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return Endpoint(f"{host}:{parts.port or 2379}", parts.scheme == "https")
