"""Every setting of `tenantry start`, in one place: its flag, its environment variable, its default and why that default.

A flag wins over the environment, the environment over the default. `--bind-address` is read from `TENANTRY_BIND_ADDRESS`.
Flags that kcp or kube-apiserver have are named as there.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class SettingError(Exception):
    """A setting has a value that cannot be used; the text names the setting and what it takes."""


def _setting(default: Any, text: str, why: str) -> Any:
    return dataclasses.field(default=default, metadata={"text": text, "why": why})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one process that runs everything."""

    root_directory: Path = _setting(
        Path(".tenantry"),
        "directory of the data, the certificates and admin.kubeconfig",
        "as kcp's .kcp: beside the work, easy to throw away",
    )
    bind_address: str = _setting(
        "127.0.0.1",
        "address to listen on",
        "a trial on a laptop should not be reachable from the network; kcp's own default is 0.0.0.0",
    )
    secure_port: int = _setting(6443, "port of the HTTPS API; 0 takes a free one", "kcp's and kube-apiserver's default")
    external_hostname: str = _setting(
        "", "host name that clients use, put into published URLs and the serving certificate", "empty means the bind address"
    )
    gateway_port: int = _setting(
        6444, "port of the gRPC look-ups (ranges, shards, resolve, urls); 0 takes a free one", "the next one after the API's"
    )
    shards: int = _setting(1, "shards to run in this process", "one core serves one; more show how ranges spread")
    range_capacity: int = _setting(
        1000,
        "tenants that a range holds before the next one opens",
        "one published URL for each thousand tenants: a controller's informer on a URL stays of a handy size",
    )
    tls_cert_file: str = _setting("", "serving certificate in PEM", "empty: one is made from the CA under the root directory")
    tls_private_key_file: str = _setting("", "its private key in PEM", "empty: as for --tls-cert-file")
    client_ca_file: str = _setting(
        "",
        "CA in PEM whose client certificates authenticate (CN is the user, O are the groups)",
        "empty: the CA under the root directory",
    )
    token_auth_file: str = _setting(
        "", 'CSV of static tokens: token,user,uid,"group1,group2"', "kube-apiserver's format, for trials and tests"
    )
    anonymous_auth: bool = _setting(
        True, "let requests without credentials in as system:anonymous", "health and version must answer probes without a token"
    )
    enable_home_workspaces: bool = _setting(
        True, "give users a workspace of their own when they ask for `workspaces/~` in root", "kcp's default"
    )
    home_workspaces_home_creator_groups: str = _setting(
        "system:authenticated", "groups, separated by commas, whose users get a home workspace", "kcp's default"
    )
    max_requests_inflight: int = _setting(
        400, "reads at the same time before 429", "kube-apiserver's default; watches do not count"
    )
    max_mutating_requests_inflight: int = _setting(
        200, "writes at the same time before 429", "kube-apiserver's default; more only queue behind the disk"
    )
    max_watches: int = _setting(
        20000, "open watches before 429", "each costs about 60 KB with TLS, so this is about 1.2 GB at the worst"
    )
    max_request_body_bytes: int = _setting(3 * 1024 * 1024, "largest request body before 413", "kube-apiserver's limit")
    request_timeout_seconds: float = _setting(60.0, "longest a request that is no watch may take", "kube-apiserver's default")
    watch_buffer_bytes: int = _setting(
        8 * 1024 * 1024, "bytes that may wait for a slow watcher before it is dropped", "a list of thousands of objects fits once"
    )
    history_events: int = _setting(
        5000, "events kept for each resource of a range, for watches that resume", "minutes of a busy resource, a few MB"
    )
    shutdown_grace_seconds: float = _setting(
        10.0, "time for requests under way to end after SIGTERM", "watches end at once, writes take milliseconds"
    )
    log_level: str = _setting("info", "debug, info, warning or error", "one line for each request at info")
    access_log: bool = _setting(
        False, "write a line for each request", "half of the cost of a small GET; errors are logged in any case"
    )

    def __post_init__(self) -> None:
        for name, low, high in (
            ("secure_port", 0, 65535),
            ("gateway_port", 0, 65535),
            ("shards", 1, 64),
            ("range_capacity", 1, 1_000_000),
            ("max_requests_inflight", 1, 1_000_000),
            ("max_mutating_requests_inflight", 1, 1_000_000),
            ("max_watches", 1, 10_000_000),
            ("max_request_body_bytes", 1024, 1 << 30),
            ("request_timeout_seconds", 0.1, 3600),
            ("watch_buffer_bytes", 64 * 1024, 1 << 32),
            ("history_events", 16, 10_000_000),
            ("shutdown_grace_seconds", 0, 3600),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise SettingError(f"{flag(name)} must be from {low} to {high}, not {value}")
        if bool(self.tls_cert_file) != bool(self.tls_private_key_file):
            raise SettingError("--tls-cert-file and --tls-private-key-file need each other")
        if self.log_level not in ("debug", "info", "warning", "error"):
            raise SettingError(f"--log-level must be debug, info, warning or error, not {self.log_level!r}")


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def variable(name: str) -> str:
    return "TENANTRY_" + name.upper()


def _convert(kind: type, name: str, text: str) -> Any:
    if kind is bool:
        if text.lower() in ("true", "1", "yes"):
            return True
        if text.lower() in ("false", "0", "no"):
            return False
        raise SettingError(f"{flag(name)} takes true or false, not {text!r}")
    try:
        return kind(text)
    except ValueError:
        raise SettingError(f"{flag(name)} takes a value of type {kind.__name__}, not {text!r}") from None


def add_flags(parser: argparse.ArgumentParser) -> None:
    """One flag for each setting, with its default and reason in the help."""
    for field in dataclasses.fields(Settings):
        default = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
        parser.add_argument(
            flag(field.name),
            dest=field.name,
            metavar="VALUE",
            nargs="?" if isinstance(field.default, bool) else None,
            const="true" if isinstance(field.default, bool) else None,
            help=f"{field.metadata['text']}; default: {default or 'empty'} ({field.metadata['why']})".replace("%", "%%"),
        )


def settings_from(options: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of parsed flags and the environment. Raises SettingError."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(Settings):
        text = getattr(options, field.name, None)
        if text is None:
            text = environment.get(variable(field.name))
        if text is not None:
            kind = type(field.default)
            values[field.name] = _convert(Path if issubclass(kind, Path) else kind, field.name, text)
    return Settings(**values)


def table(fields: Sequence[Any] | None = None) -> str:
    """All settings as a Markdown table, for the documentation."""
    lines = ["| flag | environment | default | what | why |", "| --- | --- | --- | --- | --- |"]
    for field in fields or dataclasses.fields(Settings):
        default = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
        lines.append(
            f"| `{flag(field.name)}` | `{variable(field.name)}` | {f'`{default}`' if default else ''} "
            f"| {field.metadata['text']} | {field.metadata['why']} |"
        )
    return "\n".join(lines)
