"""The settings of `tenantry start`. Flags that kcp has, too, have the same names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from registry.settings import RangeSettings
from shard.settings import TenantSettings
from tenantry.apiserver.settings import PORTS, HttpsSettings, ProcessSettings
from tenantry.base.flags import other_default, setting


@dataclass(frozen=True, kw_only=True)
class StartSettings(RangeSettings, TenantSettings, HttpsSettings, ProcessSettings):
    """Settings of a process that runs everything."""

    root_directory: Path = setting(
        Path(".tenantry"),
        "directory of the data, the certificates and admin.kubeconfig",
        "as kcp's .kcp: in the working directory, easy to delete",
    )
    external_hostname: str = setting(
        "", "host name that clients use; it is in published URLs and in the serving certificate", "empty: the bind address"
    )
    gateway_port: int = setting(
        6444,
        "port of the gRPC look-ups (ranges, shards, resolve, urls); 0 takes a free one",
        "the next one after the API's",
        bounds=PORTS,
    )
    shards: int = setting(
        1,
        "number of shards in this process",
        "a shard uses one core; more shards show how ranges are distributed",
        bounds=(1, 64),
    )
    bind_address: str = other_default(
        "127.0.0.1", "a trial on a laptop should not be reachable from the network; kcp's default is 0.0.0.0"
    )
    tls_cert_file: str = other_default("", "empty: a certificate is issued by the CA under the root directory")
    client_ca_file: str = other_default("", "empty: the CA under the root directory")
    webhook_networks: str = other_default(
        "public,loopback",
        "webhooks that are developed run beside the server; `public` alone where tenants are not to reach this machine",
    )
