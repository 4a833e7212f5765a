"""`tenantry kubeconfig`: prints the administrators' kubeconfig of a platform on etcd. It needs read access to etcd."""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenantry.apiserver.settings import PlatformSettings
from tenantry.base.flags import SettingError, add_flags, setting, settings_from
from tenantry.storage.etcd.settings import EtcdSettings


@dataclass(frozen=True, kw_only=True)
class KubeconfigSettings(PlatformSettings, EtcdSettings):
    certificate_authority_file: str = setting(
        "",
        "CA (PEM) of the gateways' certificate",
        "empty: the platform's CA, which is correct unless gateways have --tls-cert-file",
    )


def add_command(commands: Any) -> None:
    """Adds the sub-command to an argparse sub-parser collection."""
    command = commands.add_parser(
        "kubeconfig",
        help="print the administrators' kubeconfig of a platform on etcd",
        description="Prints a kubeconfig with kcp's contexts, made from the secrets in etcd. It creates the secrets if the "
        "platform was never started. Each flag can be given as an environment variable.",
    )
    add_flags(command, KubeconfigSettings)
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    # These imports take 0.5 s, which other commands do not need.
    from tenantry.apiserver.authentication.service_account_tokens import KeyFileError
    from tenantry.http.certificates import CertificateError
    from tenantry.storage.store import StoreError

    try:
        settings = settings_from(KubeconfigSettings, options)
        path = settings.certificate_authority_file
        print(asyncio.run(_kubeconfig(settings, Path(path).read_bytes() if path else None)), end="")
    except SettingError as error:
        print(f"tenantry: {error}", file=sys.stderr)
        return 2
    except (StoreError, CertificateError, KeyFileError) as error:
        print(f"tenantry: {error}", file=sys.stderr)
        return 1
    return 0


async def _kubeconfig(settings: KubeconfigSettings, ca: bytes | None) -> str:
    from tenantry.apiserver.authentication.shared_authority import shared_authority
    from tenantry.apiserver.authentication.shared_secrets import shared_admin_tokens
    from tenantry.cli import kubeconfig
    from tenantry.storage.etcd.store import EtcdStore

    store = await EtcdStore.open(settings.etcd())
    try:
        ca = ca or (await shared_authority(store)).certificate
        return kubeconfig.text(url=settings.external_url, ca_certificate=ca, tokens=await shared_admin_tokens(store))
    finally:
        await store.close()
