"""The flags of a process on etcd that gateways and other processes of the platform pass requests to."""

from __future__ import annotations

from dataclasses import dataclass

from tenantry.apiserver.audit.settings import AuditSettings
from tenantry.apiserver.authorizers.settings import AuthorizationSettings
from tenantry.apiserver.settings import (
    AuthenticationSettings,
    EtcdProcessSettings,
    HttpsSettings,
    PlatformSettings,
    WatchSettings,
)
from tenantry.base.flags import SettingError, setting
from tenantry.http.listen_addresses import is_host


@dataclass(frozen=True, kw_only=True)
class ForwardedSettings(
    AuthenticationSettings,
    AuthorizationSettings,
    WatchSettings,
    AuditSettings,
    HttpsSettings,
    PlatformSettings,
    EtcdProcessSettings,
):
    advertise_address: str = setting(
        "",
        "host name or address at which gateways and shards reach it",
        "empty: the local address of the connection to etcd",
    )
    service_account_key_file: str = setting(
        "",
        "RSA key in PEM that signs service account tokens, the same for all processes of the platform",
        "empty: the key in etcd, which the first shard creates",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.advertise_address and not is_host(self.advertise_address):
            raise SettingError(
                f"--advertise-address is a host name or an IP address, without a port, not {self.advertise_address!r}"
            )
