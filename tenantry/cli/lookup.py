"""`tenantry ranges|shards|resolve|urls`: questions to a gateway over gRPC."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict

from tenantry._proto.tenantry.gateway.v1 import gateway_pb2 as pb
from tenantry._proto.tenantry.gateway.v1 import gateway_pb2_grpc as stubs
from tenantry.cli.output import Columns, Row, render

DEADLINE_SECONDS = 5.0


class LookupFailed(Exception):
    """The gateway could not be asked, or refused; the text says why and what to do."""


def add_commands(commands: Any) -> None:
    """The sub-commands, on an argparse sub-parser collection."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("-o", "--output", choices=("table", "json", "yaml"), default="table", help="how to print; default: table")
    shared.add_argument(
        "--root-directory",
        type=Path,
        default=Path(os.environ.get("TENANTRY_ROOT_DIRECTORY", ".tenantry")),
        help="directory of a `tenantry start` on this machine, for its address and certificates; default: .tenantry",
    )
    shared.add_argument("--gateway", default=os.environ.get("TENANTRY_GATEWAY", ""), help="host:port of another gateway")
    ranges = commands.add_parser("ranges", parents=[shared], help="the ranges of tenants and who serves them")
    ranges.set_defaults(run=_command(_ranges))
    shards = commands.add_parser("shards", parents=[shared], help="the serving processes")
    shards.set_defaults(run=_command(_shards))
    resolve = commands.add_parser("resolve", parents=[shared], help="where a tenant lives, by path (root:a:b) or id")
    resolve.add_argument("tenant", nargs="+")
    resolve.set_defaults(run=_command(_resolve))
    urls = commands.add_parser("urls", parents=[shared], help="the virtual workspace URLs of an export")
    urls.add_argument("export", metavar="PATH:EXPORT", help="for example root:provider:cowboys")
    urls.set_defaults(run=_command(_urls))


def _ranges(stub: Any, _: argparse.Namespace) -> tuple[Sequence[Row], Columns]:
    answer = stub.ListRanges(pb.ListRangesRequest(), timeout=DEADLINE_SECONDS)
    rows = [_row(r) for r in answer.ranges]
    return rows, _columns("name", "start", "end", "shard", "generation", "tenants", "capacity", "url")


def _shards(stub: Any, _: argparse.Namespace) -> tuple[Sequence[Row], Columns]:
    answer = stub.ListShards(pb.ListShardsRequest(), timeout=DEADLINE_SECONDS)
    return [_row(s) for s in answer.shards], _columns("name", "uid", "tenants", "ranges")


def _resolve(stub: Any, options: argparse.Namespace) -> tuple[Sequence[Row], Columns]:
    rows = []
    for tenant in options.tenant:
        answer = stub.Resolve(pb.ResolveRequest(tenant=tenant), timeout=DEADLINE_SECONDS)
        rows.append({"tenant": tenant, **_row(answer)})
    return rows, _columns("tenant", "cluster", "range", "shard", "generation", "url")


def _urls(stub: Any, options: argparse.Namespace) -> tuple[Sequence[Row], Columns]:
    workspace, colon, export = options.export.rpartition(":")
    if not colon:
        raise LookupFailed(f"{options.export!r} names no workspace: write PATH:EXPORT, for example root:provider:cowboys")
    answer = stub.ListUrls(pb.ListUrlsRequest(workspace=workspace, export=export), timeout=DEADLINE_SECONDS)
    return [{"url": url} for url in answer.urls], _columns("url")


def _columns(*names: str) -> Columns:
    return [(name, itemgetter(name)) for name in names]


def _row(message: Any) -> Row:
    """All fields, with whole numbers as numbers (protobuf's JSON writes 64-bit ones as text)."""
    row = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    if "generation" in row:
        row["generation"] = int(row["generation"])
    return row


Question = Callable[[Any, argparse.Namespace], tuple[Sequence[Row], Columns]]


def _command(question: Question) -> Callable[[argparse.Namespace], int]:
    def run(options: argparse.Namespace) -> int:
        try:
            with _channel(options) as channel:
                rows, columns = question(stubs.GatewayStub(channel), options)  # type: ignore[no-untyped-call]
        except grpc.RpcError as error:
            print(f"tenantry: {_explain(error)}", file=sys.stderr)
            return 1
        except LookupFailed as error:
            print(f"tenantry: {error}", file=sys.stderr)
            return 1
        print(render(rows, columns, options.output))
        return 0

    return run


def _channel(options: argparse.Namespace) -> grpc.Channel:
    root: Path = options.root_directory
    address = options.gateway
    try:
        address = address or json.loads((root / "run.json").read_text())["gateway"]
        pki = root / "pki"
        credentials = grpc.ssl_channel_credentials(
            (pki / "ca.crt").read_bytes(), (pki / "lookup-client.key").read_bytes(), (pki / "lookup-client.crt").read_bytes()
        )
    except (OSError, ValueError, KeyError) as error:
        raise LookupFailed(
            f"nothing to ask under {root} ({error}); is `tenantry start` running there? Name its directory with --root-directory"
        ) from None
    return grpc.secure_channel(address, credentials)


def _explain(error: Any) -> str:
    code, details = error.code(), error.details()
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return f"the gateway does not answer ({details}); is `tenantry start` running?"
    return str(details)
