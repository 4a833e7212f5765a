"""How the commands that ask find whom to ask: addresses and certificates."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from tenantry.client import ClientError, Credentials, SyncClient
from tenantry.client.registry import RegistryError


class AskingFailed(Exception):
    """Nobody could be asked; the text says why and what to do."""


Command = Callable[[argparse.Namespace], int]


def flags() -> argparse.ArgumentParser:
    """A parent of every command's parser."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--root-directory",
        type=Path,
        default=Path(os.environ.get("TENANTRY_ROOT_DIRECTORY", ".tenantry")),
        help="directory of a `tenantry start` on this machine, or a gateway's --access-directory, for its address and "
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
    """Raises AskingFailed."""
    return SyncClient(_addresses(options, options.gateway, "gateway"), credentials(options), follow=follow)


def registries(options: argparse.Namespace) -> list[str]:
    """Their addresses. Raises AskingFailed."""
    if options.registry or not options.gateway:
        return _addresses(options, options.registry, "registry")
    raise AskingFailed("registries are asked for this, and --gateway names gateways: name registries with --registry")


def credentials(options: argparse.Namespace) -> Credentials:
    pki: Path = options.root_directory / "pki"
    try:
        return Credentials.read(pki / "ca.crt", pki / "lookup-client.crt", pki / "lookup-client.key")
    except OSError as error:
        raise _nothing(options.root_directory, error) from None


def command(work: Command) -> Command:
    """Says what went wrong in one line, and ends quietly on Ctrl-C."""

    def run(options: argparse.Namespace) -> int:
        try:
            return work(options)
        except (AskingFailed, ClientError, RegistryError) as error:
            print(f"tenantry: {error}", file=sys.stderr)
            return 1
        except (KeyboardInterrupt, BrokenPipeError):
            return 0

    return run


def _addresses(options: argparse.Namespace, given: str, key: str) -> list[str]:
    if given:
        return [address.strip() for address in given.split(",") if address.strip()]
    root: Path = options.root_directory
    try:
        found = json.loads((root / "run.json").read_text())
        # One process serves both at one address.
        return [found.get(key) or found["gateway"]]
    except (OSError, ValueError, KeyError) as error:
        raise _nothing(root, error) from None


def _nothing(root: Path, error: Exception) -> AskingFailed:
    return AskingFailed(
        f"nothing to ask under {root} ({error}); is `tenantry start` running there? Name its directory with --root-directory"
    )
