"""The `tenantry` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from gateway.settings import GatewaySettings
from registry.settings import RegistrySettings
from shard.settings import ShardSettings
from tenantry.cli import fleet, lookup, probe, settings, shared_kubeconfig
from tenantry.flags import SettingError, add_flags, settings_from


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="tenantry", description="A Kubernetes-compatible control plane for very many tenants.")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    start = commands.add_parser(
        "start",
        help="run everything in this process, on SQLite",
        description="Runs registry, shards and gateway in one process, on SQLite under the root directory. "
        "Each flag can be given as an environment variable: --bind-address is TENANTRY_BIND_ADDRESS.",
    )
    add_flags(start, settings.Settings)
    start.set_defaults(run=_start)
    registry = commands.add_parser(
        "registry",
        help="run one registry: which shard serves which range of tenants",
        description="Runs one registry on etcd. Run any number: all answer, one leads. "
        "Each flag can be given as an environment variable.",
    )
    add_flags(registry, RegistrySettings)
    registry.set_defaults(run=_registry)
    shard = commands.add_parser(
        "shard",
        help="run one shard: it serves the tenants that the registry gives it",
        description="Runs one shard on etcd. Run any number; each joins and leaves by itself. "
        "Each flag can be given as an environment variable.",
    )
    add_flags(shard, ShardSettings)
    shard.set_defaults(run=_shard)
    gateway = commands.add_parser(
        "gateway",
        help="run one gateway: the HTTPS front door and the gRPC look-ups",
        description="Runs one gateway on etcd. It keeps no state: run any number. "
        "Each flag can be given as an environment variable.",
    )
    add_flags(gateway, GatewaySettings)
    gateway.set_defaults(run=_gateway)
    lookup.add_commands(commands)
    fleet.add_commands(commands)
    probe.add_command(commands)
    shared_kubeconfig.add_command(commands)
    return top


def _start(options: argparse.Namespace) -> int:
    # The server's modules are a second of imports that the look-up commands do not need.
    from tenantry.cli.start import run

    try:
        chosen = settings_from(settings.Settings, options)
    except SettingError as error:
        print(f"tenantry: {error}", file=sys.stderr)
        return 2
    return int(run(chosen))


def _registry(options: argparse.Namespace) -> int:
    try:
        chosen = settings_from(RegistrySettings, options)
    except SettingError as error:
        print(f"tenantry: {error}", file=sys.stderr)
        return 2
    from registry.main import run

    return run(chosen)


def _shard(options: argparse.Namespace) -> int:
    try:
        chosen = settings_from(ShardSettings, options)
    except SettingError as error:
        print(f"tenantry: {error}", file=sys.stderr)
        return 2
    from shard.main import run

    return run(chosen)


def _gateway(options: argparse.Namespace) -> int:
    try:
        chosen = settings_from(GatewaySettings, options)
    except SettingError as error:
        print(f"tenantry: {error}", file=sys.stderr)
        return 2
    from gateway.main import run

    return run(chosen)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    code: int = options.run(options)
    return code


if __name__ == "__main__":
    sys.exit(main())
