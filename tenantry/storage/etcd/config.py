"""How to reach an etcd."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import msgspec


class Endpoint(msgspec.Struct, frozen=True):
    """One member of the cluster: `host:port`, and whether it speaks TLS."""

    target: str
    secure: bool


class EtcdConfig(msgspec.Struct, frozen=True):
    """Where etcd is, and how long anything may take.

    `endpoints`: URLs such as `https://etcd-0:2379`; one is used at a time, and left for the next when it fails.
    `certificate_authority`, `certificate`, `certificate_key`: PEM files for `https` endpoints; they are read again for every new
    connection, so that they may be renewed in place. `server_name` is whom the server's certificate must name, where that is not
    the endpoint's host.
    `user`, `password`: for an etcd with authentication by password. The user has the role root: from 3.6 on no other is told the
    server's version, and before 3.5.13 a watch of history has to read everything (`watch`).
    `opening_seconds`: how long a process that starts waits for an etcd that does not answer yet, as kube-apiserver does.
    `deadline_seconds`: a call, with all its retries. `dial_seconds`: the first answer of one endpoint.
    `commit_seconds`: the answer to a commit that was sent. A member keeps one for 7 s whose leader died meanwhile; to call it
    indeterminate and ask the new leader what became of it is sooner done.
    `first_retry_seconds`, `last_retry_seconds`: the pause when no endpoint answers, doubled each time.
    `reconnect_seconds`: for how long a watch that lost its server tries to come back before it gives up.
    `keepalive_seconds`, `keepalive_timeout_seconds`: a connection with calls under way is probed this often, and given up when a
    probe is not answered. etcd refuses clients that probe more often than every 5 s.
    `progress_seconds`: how often a quiet watch asks how far it is, so that it need not go back far when it is resumed.
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
        """Raises ValueError on values that no connection can be made with."""
        if not self.endpoints:
            raise ValueError("no etcd endpoint is given")
        if (self.certificate is None) != (self.certificate_key is None):
            raise ValueError("a client certificate for etcd needs its key, and a key its certificate")
        for url in self.endpoints:
            parse_endpoint(url)


def parse_endpoint(url: str) -> Endpoint:
    """Raises ValueError on anything but `http://host:port` and `https://host:port`; the port is 2379 where none is given."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.username is not None:
        raise ValueError(f"an etcd endpoint is http://host:port or https://host:port, not {url!r}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return Endpoint(f"{host}:{parts.port or 2379}", parts.scheme == "https")
