"""The commands of `tenantry`."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from importlib.metadata import version
from typing import Any

import msgspec

from gateway.settings import GatewaySettings
from registry.settings import RegistrySettings
from shard.settings import ShardSettings
from tenantry.base.flags import SettingError, add_flags, settings_from
from tenantry.base.garbage import importing
from tenantry.cli import check_view, lookup, new_view, probe, shard_commands, shared_kubeconfig, view_commands
from tenantry.cli.access import Command
from tenantry.cli.settings import StartSettings
from tenantry.cli.standard_output import Parser, VersionAction
from views.settings import ViewsSettings


class Server(msgspec.Struct, frozen=True):
    """A command that runs a server. `module` has a function `run`, which takes the settings and returns the exit code."""

    name: str
    settings: type[Any]
    module: str
    help: str
    description: str


SERVERS = (
    Server(
        "start",
        StartSettings,
        "tenantry.cli.start",
        "run everything in this process, on SQLite",
        "Runs registry, shards and gateway in one process, on SQLite under the root directory.",
    ),
    Server(
        "registry",
        RegistrySettings,
        "registry.main",
        "run one registry: it decides which shard serves which range of tenants",
        "Runs one registry on etcd. Run any number: all answer, one leads.",
    ),
    Server(
        "shard",
        ShardSettings,
        "shard.main",
        "run one shard: it serves the tenants that the registry gives it",
        "Runs one shard on etcd. Run any number; each joins and leaves automatically.",
    ),
    Server(
        "gateway",
        GatewaySettings,
        "gateway.main",
        "run one gateway: it forwards HTTPS requests and answers gRPC look-ups",
        "Runs one gateway on etcd. It keeps no state: run any number.",
    ),
    Server(
        "views",
        ViewsSettings,
        "views.main",
        "run views (virtual workspaces) in a process of their own; list such processes; write and try views",
        "Runs one process of views on etcd, which then answers for these views instead of shards. Run any number.",
    ),
)
_VARIABLES = "Each flag can be given as an environment variable: --bind-address is TENANTRY_BIND_ADDRESS."


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = Parser(prog="tenantry", description="A Kubernetes-compatible control plane for very many tenants.")
    top.add_argument("--version", action=VersionAction, const=f"tenantry {version('tenantry')}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for server in SERVERS:
        command = commands.add_parser(server.name, help=server.help, description=f"{server.description} {_VARIABLES}")
        add_flags(command, server.settings)
        command.set_defaults(run=_runner(server))
        if server.name == "views":
            of_views = view_commands.add_commands(command)
            new_view.add_command(of_views)
            check_view.add_command(of_views)
    lookup.add_commands(commands)
    shard_commands.add_commands(commands)
    probe.add_command(commands)
    shared_kubeconfig.add_command(commands)
    return top


def _runner(server: Server) -> Command:
    def run(options: argparse.Namespace) -> int:
        try:
            settings = settings_from(server.settings, options)
        except SettingError as error:
            print(f"tenantry: {error}", file=sys.stderr)
            return 2
        # Importing a server takes about a second, so it is done only for this command.
        with importing():
            module = import_module(server.module)
        return int(module.run(settings))

    return run
