"""Builds `tests/clients/resolve`, a Go program, with stubs generated from `protos/`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "tests" / "clients" / "resolve"
PROTO = "tenantry/gateway/v1/gateway.proto"
MODULE = "example.org/tenantry/resolve"
GENERATORS = ("google.golang.org/protobuf/cmd/protoc-gen-go", "google.golang.org/grpc/cmd/protoc-gen-go-grpc")
BUILD_SECONDS = 300


class BuildFailed(Exception):
    """The build failed. The text is the output of the compiler."""


def build(go: str, folder: Path) -> Path:
    """Builds the program in `folder`, which it creates, and returns its path. Raises BuildFailed."""
    shutil.copytree(SOURCE, folder)
    for generator in GENERATORS:
        _run(folder, go, "build", "-o", folder / "bin" / generator.rpartition("/")[2], generator)
    options = (f"module={MODULE}", f"M{PROTO}={MODULE}/gateway")
    plugins = [f"--plugin={path}" for path in (folder / "bin").iterdir()]
    outputs = [f"--{kind}_{what}" for kind in ("go", "go-grpc") for what in (f"out={folder}", *(f"opt={o}" for o in options))]
    protoc = (sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={ROOT / 'protos'}")
    _run(folder, *protoc, *plugins, *outputs, ROOT / "protos" / PROTO)
    _run(folder, go, "build", "-o", folder / "resolve", ".")
    return folder / "resolve"


def _run(folder: Path, *command: object) -> None:
    result = subprocess.run(
        list(map(str, command)), cwd=folder, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )
    if result.returncode:
        raise BuildFailed(result.stderr)
