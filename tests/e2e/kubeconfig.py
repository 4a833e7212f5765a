"""admin.kubeconfig, pointed at a workspace."""

from __future__ import annotations

from typing import Any

import yaml

from tests.support.api import Api
from tests.support.forms import Platform


def kubeconfig(server: Platform, place: Api) -> dict[str, Any]:
    """The platform's own document, with `shard-base` as current context and the workspace as what that is about, at the last of
    the front proxies."""
    document: dict[str, Any] = yaml.safe_load(server.kubeconfig.read_text())
    document["current-context"] = "shard-base"
    for cluster in document["clusters"]:
        if cluster["name"] == "base":
            cluster["cluster"]["server"] = server.urls[-1] + place.url.removeprefix(place.origin)
    return document
