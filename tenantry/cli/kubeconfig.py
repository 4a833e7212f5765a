"""Makes admin.kubeconfig with the clusters, users and contexts that kcp has in it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import yaml

from tenantry.apiserver.authentication.admin_tokens import KCP_ADMIN, SHARD_ADMIN, AdminTokens
from tenantry.base.files import write_private


def write(path: Path, *, url: str, ca_certificate: bytes, tokens: AdminTokens) -> None:
    """Writes the kubeconfig to a file with mode 0600."""
    write_private(path, text(url=url, ca_certificate=ca_certificate, tokens=tokens).encode())


def text(*, url: str, ca_certificate: bytes, tokens: AdminTokens) -> str:
    """The kubeconfig as YAML.

    Its contexts are `root` (current) and `base` for kcp-admin, and `system:admin` and `shard-base` for shard-admin, who may do
    everything.
    """
    ca = base64.b64encode(ca_certificate).decode()
    clusters = {"root": f"{url}/clusters/root", "base": url, "system:admin": f"{url}/clusters/system:admin"}
    contexts = {
        "root": ("root", KCP_ADMIN),
        "base": ("base", KCP_ADMIN),
        "system:admin": ("system:admin", SHARD_ADMIN),
        "shard-base": ("base", SHARD_ADMIN),
    }
    document: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": server, "certificate-authority-data": ca}} for name, server in clusters.items()
        ],
        "users": [
            {"name": KCP_ADMIN, "user": {"token": tokens.kcp_admin}},
            {"name": SHARD_ADMIN, "user": {"token": tokens.shard_admin}},
        ],
        "contexts": [{"name": name, "context": {"cluster": c, "user": user}} for name, (c, user) in contexts.items()],
        "current-context": "root",
    }
    return yaml.safe_dump(document, sort_keys=False)
