"""The flags for etcd, the same in every process that uses it. They have the names of kube-apiserver's flags."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tenantry.base.flags import SettingError, Settings, check_together, listed, setting
from tenantry.storage.etcd.config import EtcdConfig


@dataclass(frozen=True, kw_only=True)
class EtcdSettings(Settings):
    """The flags of a process that uses etcd."""

    etcd_servers: str = setting(
        "http://127.0.0.1:2379", "URLs of etcd's members, separated by commas", "an etcd on this machine with its defaults"
    )
    etcd_cafile: str = setting("", "CA in PEM that issued etcd's certificates", "empty: the CAs that the system trusts")
    etcd_certfile: str = setting("", "client certificate in PEM for etcd", "empty: no client certificate is sent")
    etcd_keyfile: str = setting("", "its private key in PEM", "empty: as for --etcd-certfile")
    etcd_server_name: str = setting("", "name that etcd's certificate must have", "empty: the host in --etcd-servers")
    etcd_user: str = setting("", "user of etcd's own authentication", "empty: no authentication")
    etcd_password_file: str = setting(
        "", "file with that user's password", "a password in a flag would be visible in the list of processes"
    )

    def etcd(self) -> EtcdConfig:
        """The configuration of the etcd client. Raises SettingError."""
        check_together(self, "etcd_certfile", "etcd_keyfile")
        check_together(self, "etcd_user", "etcd_password_file")
        try:
            password = Path(self.etcd_password_file).read_text().rstrip("\n") if self.etcd_password_file else ""
            return EtcdConfig(
                endpoints=listed(self.etcd_servers),
                certificate_authority=_path(self.etcd_cafile),
                certificate=_path(self.etcd_certfile),
                certificate_key=_path(self.etcd_keyfile),
                server_name=self.etcd_server_name,
                user=self.etcd_user,
                password=password,
            )
        except (OSError, ValueError) as error:
            raise SettingError(f"the settings for etcd are not valid: {error}") from error


def _path(text: str) -> Path | None:
    return Path(text) if text else None
