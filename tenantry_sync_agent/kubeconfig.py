"""The current context of a kubeconfig: a server, and the credentials for it."""

from __future__ import annotations

import base64
import ssl
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import yaml


class KubeconfigError(Exception):
    """A kubeconfig cannot be used. The text names the file and what is wrong."""


class Access(NamedTuple):
    """`server`: a URL without a slash at its end. `token`: a bearer token, or empty. `token_file`: where it is read from before
    each request, as Kubernetes renews tokens of service accounts; None if it does not change."""

    server: str
    tls: ssl.SSLContext
    token: str
    token_file: Path | None


def load(path: Path, context: str = "") -> Access:
    """The access of a context of a kubeconfig, by default of the current one.

    Credentials may be a token, a token file, or a client certificate. Raises KubeconfigError.
    """
    try:
        document = yaml.safe_load(path.read_text())
        name = context or document["current-context"]
        chosen = _named(document["contexts"], name)["context"]
        cluster = _named(document["clusters"], chosen["cluster"])["cluster"]
        user = _named(document["users"], chosen["user"])["user"] or {}
        return _access(path.parent, cluster, user)
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise KubeconfigError(f"{path}: {type(error).__name__}: {error}") from error


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    for entry in entries:
        if entry["name"] == name:
            return entry
    raise KeyError(f"there is no {name!r}")


def _access(folder: Path, cluster: dict[str, Any], user: dict[str, Any]) -> Access:
    for unknown in ("exec", "auth-provider", "username"):
        if unknown in user:
            raise ValueError(f"{unknown} is not supported; use a token, tokenFile or a client certificate")
    tls = ssl.create_default_context()
    if (authority := _content(folder, cluster, "certificate-authority")) is not None:
        tls = ssl.create_default_context(cadata=authority.decode())
    if cluster.get("insecure-skip-tls-verify"):
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    certificate, key = _content(folder, user, "client-certificate"), _content(folder, user, "client-key")
    if certificate is not None and key is not None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(certificate + b"\n" + key)
            file.flush()
            tls.load_cert_chain(file.name)
    token_file = folder / user["tokenFile"] if user.get("tokenFile") else None
    return Access(cluster["server"].rstrip("/"), tls, user.get("token") or "", token_file)


def _content(folder: Path, entry: dict[str, Any], name: str) -> bytes | None:
    """The value of `<name>-data`, or of the file that `<name>` means."""
    if data := entry.get(f"{name}-data"):
        return base64.b64decode(data)
    return (folder / entry[name]).read_bytes() if entry.get(name) else None
