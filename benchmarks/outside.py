"""The Go program `tests/clients/resolve`: a client that is fast enough not to dominate the measurement."""

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
    """The path of the program, which is built once in a run; None without Go. Raises BuildFailed."""
    go = shutil.which("go")
    return str(build(go, Path(_FOLDER.name) / "resolve")) if go is not None else None


def access_flags(folder: Path, address: str, who: Credentials) -> list[str]:
    """The arguments for a gateway's gRPC services. Writes the credentials to `folder`."""
    flags = ["-address", address]
    for name, content in (("ca", who.ca), ("cert", who.certificate), ("key", who.key)):
        (folder / name).write_bytes(content)
        flags += [f"-{name}", str(folder / name)]
    return flags
