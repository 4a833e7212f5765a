"""Finds the addresses and certificates with which the commands call gateways and registries."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tenantry.apiserver.authentication import common_names
from tenantry.base.flags import listed
from tenantry.client import ClientError, Credentials, SyncClient
from tenantry.client.registry import RegistryClient, RegistryError


class AskingFailed(Exception):
    """A command cannot be executed. The text says why and what to do."""


Command = Callable[[argparse.Namespace], int]
INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells report it."""


def flags() -> argparse.ArgumentParser:
    """A parent parser with the flags that all these commands share."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--root-directory",
        type=Path,
        default=Path(os.environ.get("TENANTRY_ROOT_DIRECTORY", ".tenantry")),
        help="directory of a `tenantry start` on this machine, or a gateway's --access-directory; it has the address and the "
        "certificates; default: .tenantry",
    )
    shared.add_argument(
        "--gateway", default=os.environ.get("TENANTRY_GATEWAY", ""), help="host:port of other gateways, separated by commas"
    )
    shared.add_argument(
        "--registry", default=os.environ.get("TENANTRY_REGISTRY", ""), help="host:port of other registries, separated by commas"
    )
    return shared


def gateways(options: argparse.Namespace, *, follow: bool = False) -> SyncClient:
    """A client of the gateways. `follow`: it follows the map. Raises AskingFailed."""
    return SyncClient(_addresses(options, options.gateway, "gateway"), credentials(options), follow=follow)


def registries(options: argparse.Namespace) -> list[str]:
    """The addresses of the registries. Raises AskingFailed."""
    return _addresses(options, options.registry, "registry")


@asynccontextmanager
async def registry_client(options: argparse.Namespace) -> AsyncIterator[RegistryClient]:
    """A client of the registries. Raises AskingFailed."""
    who = credentials(options)
    async with RegistryClient(
        registries(options),
        ca=who.ca,
        certificate=who.certificate,
        key=who.key,
        server_name=common_names.REGISTRY,
    ) as client:
        yield client


def credentials(options: argparse.Namespace) -> Credentials:
    """Reads the certificates. Raises AskingFailed."""
    pki: Path = options.root_directory / "pki"
    try:
        return Credentials.read(pki / "ca.crt", pki / "lookup-client.crt", pki / "lookup-client.key")
    except OSError as error:
        raise _nothing(options.root_directory, error) from None


def command(work: Command, *, interrupted: int = INTERRUPTED) -> Command:
    """Makes a command print its error as one line. `interrupted`: exit code after Ctrl-C; 0 for commands that run until then."""

    def run(options: argparse.Namespace) -> int:
        try:
            return work(options)
        except (AskingFailed, ClientError, RegistryError) as error:
            print(f"tenantry: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return interrupted

    return run


def _addresses(options: argparse.Namespace, given: str, key: str) -> list[str]:
    if given:
        addresses = list(listed(given))
        for address in addresses:
            host, _, port = address.rpartition(":")
            if not host or not port.isdigit():
                raise AskingFailed(f"--{key} takes host:port, several separated by commas, not {address!r}")
        return addresses
    path: Path = options.root_directory / "run.json"
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise _nothing(options.root_directory, error) from None
    if key not in found:
        # A gateway writes only its own address.
        raise AskingFailed(f"{path} has no address of a {key}: set --{key}")
    return [found[key]]


def _nothing(root: Path, error: Exception) -> AskingFailed:
    return AskingFailed(
        f"no server found under {root} ({error}); is `tenantry start` running there? Set its directory with --root-directory"
    )
