"""admin.kubeconfig, pointed at a workspace."""

from __future__ import annotations

from typing import Any

import yaml

from tests.e2e.client import Api
from tools.server import Server


def kubeconfig(server: Server, place: Api) -> dict[str, Any]:
    """The server's own document, with `shard-base` as current context and the workspace as what that is about."""
    document: dict[str, Any] = yaml.safe_load(server.kubeconfig.read_text())
    document["current-context"] = "shard-base"
    for cluster in document["clusters"]:
        if cluster["name"] == "base":
            cluster["cluster"]["server"] = place.url
    return document
