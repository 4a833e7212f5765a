"""An operator on kopf. It prints one JSON line for each event of a cowboy that it is told of."""

from __future__ import annotations

import json
import os
from typing import Any

import kopf


@kopf.on.event("example.com", "v1", "cowboys")
def seen(type: str | None, name: str, annotations: dict[str, str], body: dict[str, Any], **_: Any) -> None:
    line = {"type": type, "name": name, "cluster": annotations.get("kcp.io/cluster"), "shown": body.get("shown")}
    # In one piece: kopf's log goes the same way.
    os.write(1, f"EVENT {json.dumps(line)}\n".encode())
