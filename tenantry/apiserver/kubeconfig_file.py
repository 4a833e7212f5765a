"""The kubeconfig of a webhook: which server is called, and with which credentials (clientcmd of client-go)."""

from __future__ import annotations

import base64
import binascii
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tenantry.http.calls import client_context
from tenantry.http.renewal import file_state
from tenantry.kube.schema.go_url import reference

BYTES_MAX = 1 << 20


class KubeconfigError(Exception):
    """A kubeconfig that cannot be used; the text says which one and why, without credentials."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server that is called at exactly `url`. `headers`: the credentials. `server_name`: the name in the server's certificate;
    empty: that of the URL. `files`: those that it was read from, with their states at that time."""

    url: str
    tls: ssl.SSLContext
    headers: Mapping[str, str] = field(repr=False)
    server_name: str
    files: tuple[tuple[Path, tuple[int, ...] | None], ...] = ()

    def has_changed(self) -> bool:
        """Whether one of its files has been written since. Reads their states; call it in a thread."""
        return any(file_state(path) != state for path, state in self.files)


def read_endpoint(path: Path) -> Endpoint:
    """The server of the current context. Reads files; call it in a thread. Raises KubeconfigError."""
    try:
        return _Reading(path).endpoint()
    except (OSError, UnicodeDecodeError, yaml.YAMLError, binascii.Error, ssl.SSLError, ValueError) as error:
        # The errors of YAML show a part of the file, which may be a token.
        text = type(error).__name__ if isinstance(error, yaml.YAMLError) else str(error)
        raise KubeconfigError(f"cannot use the kubeconfig {path}: {text}") from None


class _Reading:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = [(path, file_state(path))]

    def endpoint(self) -> Endpoint:
        if self._path.stat().st_size > BYTES_MAX:
            raise ValueError(f"the file has more than {BYTES_MAX} bytes")
        document = _mapping(yaml.safe_load(self._path.read_bytes()))
        context = self._named(document, "contexts", "context", _text(document, "current-context"))
        cluster = self._named(document, "clusters", "cluster", _text(context, "cluster"))
        user = self._named(document, "users", "user", _text(context, "user"))
        url = _text(cluster, "server")
        if reference(url).scheme not in ("https", "http"):
            raise ValueError("its cluster has no server with an http or https URL")
        for name in ("exec", "auth-provider"):
            if user.get(name):
                raise ValueError(f"its user has {name}, which is not supported: give a token or a client certificate")
        return Endpoint(url, self._tls(cluster, user), self._headers(user), _text(cluster, "tls-server-name"), tuple(self._files))

    def _named(self, document: dict[str, Any], many: str, one: str, name: str) -> dict[str, Any]:
        entries = document.get(many) or []
        if not isinstance(entries, list):
            raise ValueError(f"its {many} are no list")
        if not name and one != "user":
            # A file with one cluster needs no context, as kube-apiserver's documentation shows.
            only = entries[0] if len(entries) == 1 else None
            if only is None:
                raise ValueError(f"it does not say which of its {many} is the current one")
            return _mapping(_mapping(only).get(one))
        for entry in entries:
            if isinstance(entry, dict) and entry.get("name") == name:
                return _mapping(entry.get(one))
        if one == "user" and not name:
            return {}
        raise ValueError(f'it has no {one} "{name}"')

    def _tls(self, cluster: dict[str, Any], user: dict[str, Any]) -> ssl.SSLContext:
        authority = self._content(cluster, "certificate-authority")
        certificate, key = self._content(user, "client-certificate"), self._content(user, "client-key")
        insecure = cluster.get("insecure-skip-tls-verify") is True
        context = client_context(authority.decode("ascii"), insecure=insecure)
        if certificate:
            # OpenSSL reads these from files alone.
            with tempfile.NamedTemporaryFile(prefix="tenantry-webhook-") as pem:
                pem.write(certificate + b"\n" + key)
                pem.flush()
                context.load_cert_chain(pem.name)
        return context

    def _headers(self, user: dict[str, Any]) -> dict[str, str]:
        token = _text(user, "token")
        if file := _text(user, "tokenFile"):
            token = self._read(file).decode("ascii").strip()
        if token:
            if not token.isprintable():
                raise ValueError("its token has characters that a header cannot have")
            return {"Authorization": f"Bearer {token}"}
        name = _text(user, "username")
        if name:
            pair = f"{name}:{_text(user, 'password')}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        return {}

    def _content(self, holder: dict[str, Any], name: str) -> bytes:
        """What a field `name` says: the content of `<name>-data`, or of the file."""
        data = _text(holder, f"{name}-data")
        if data:
            return base64.b64decode(data, validate=True)
        file = _text(holder, name)
        return self._read(file) if file else b""

    def _read(self, name: str) -> bytes:
        path = self._path.parent / name
        self._files.append((path, file_state(path)))
        if path.stat().st_size > BYTES_MAX:
            raise ValueError(f"{path} has more than {BYTES_MAX} bytes")
        return path.read_bytes()


def _mapping(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError("it is no kubeconfig")
    return value


def _text(holder: dict[str, Any], name: str) -> str:
    value = holder.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"its {name} is no text")
    return value
