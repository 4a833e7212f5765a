"""A syncer on kopf: handlers of cowboys, which answer in the status.

In the environment: `FINALIZER`, the one that it may write; without it, kopf needs none, and keeps all it knows where it does by
default.
"""

from __future__ import annotations

import json
import os
from typing import Any

import kopf


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.posting.enabled = False
    settings.networking.error_backoffs = []
    settings.queueing.error_delays = [0.0]
    if "FINALIZER" in os.environ:
        settings.persistence.finalizer = os.environ["FINALIZER"]
        settings.persistence.diffbase_storage = kopf.StatusDiffBaseStorage()
        settings.persistence.progress_storage = kopf.StatusProgressStorage()


def told(kind: str, name: str, annotations: dict[str, str], spec: dict[str, Any]) -> None:
    line = {"type": kind, "name": name, "cluster": annotations.get("kcp.io/cluster"), "shown": spec.get("intent")}
    # In one piece: kopf's log goes the same way.
    os.write(1, f"EVENT {json.dumps(line)}\n".encode())


@kopf.on.event("example.com", "v1", "cowboys")
def seen(type: str | None, name: str, annotations: dict[str, str], spec: dict[str, Any], **_: Any) -> None:
    told(f"seen {type}", name, annotations, spec)


@kopf.on.create("example.com", "v1", "cowboys")
@kopf.on.update("example.com", "v1", "cowboys", field="spec")
def wanted(reason: str, name: str, annotations: dict[str, str], spec: dict[str, Any], patch: dict[str, Any], **_: Any) -> None:
    told(reason, name, annotations, spec)
    patch.setdefault("status", {})["result"] = spec["intent"]


@kopf.on.delete("example.com", "v1", "cowboys", optional="FINALIZER" not in os.environ)
def gone(reason: str, name: str, annotations: dict[str, str], spec: dict[str, Any], **_: Any) -> None:
    told(reason, name, annotations, spec)
