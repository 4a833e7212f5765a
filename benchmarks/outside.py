"""`tests/clients/resolve`, the Go program: a client that is quick enough not to be what is measured."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tenantry.client import Credentials
from tools.go_client import build

_FOLDER = TemporaryDirectory(prefix="tenantry-bench-go-")


@cache
def go_client() -> str | None:
    """Its path, built once in a run; None without Go. Raises BuildFailed."""
    go = shutil.which("go")
    return str(build(go, Path(_FOLDER.name) / "resolve")) if go is not None else None


def access_flags(folder: Path, address: str, who: Credentials) -> list[str]:
    """How to reach a gateway's gRPC services, as arguments. The credentials are written to `folder`."""
    flags = ["-address", address]
    for name, content in (("ca", who.ca), ("cert", who.certificate), ("key", who.key)):
        (folder / name).write_bytes(content)
        flags += [f"-{name}", str(folder / name)]
    return flags
