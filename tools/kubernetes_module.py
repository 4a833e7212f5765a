"""Programs of the Go module k8s.io/kubernetes, which names its staging modules without versions: whoever builds it says which."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

VERSION = "1.37.2"
MODULE = f"k8s.io/kubernetes@v{VERSION}"
BUILD_SECONDS_MAX = 7200.0


class BuildFailed(Exception):
    """The build failed. The text is the output of the compiler."""


def cached(name: str) -> Path:
    """Where the program of this name and version is kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tenantry" / f"{name}-{VERSION}"


def build(target: Path, main: str, command: Sequence[str]) -> None:
    """Builds a program as `target`, which takes some ten minutes. `main`: the text of a main package in a module that requires
    Kubernetes. `command`: the arguments of `go`, to which `-o TARGET` is added behind the first. Raises BuildFailed."""
    source = target.parent / f"{target.name}-source"
    source.mkdir(parents=True, exist_ok=True)
    module = json.loads(_go(source, "mod", "download", "-json", MODULE))
    staging = f"v0.{VERSION.partition('.')[2]}"
    required = re.findall(r"^\s*(?:require )?(\S+\.\S+/\S+) (v\S+)", Path(module["GoMod"]).read_text(), re.MULTILINE)
    staged = [module for module, version in required if version == "v0.0.0"]
    lines = [f"{module} {staging if version == 'v0.0.0' else version}" for module, version in required]
    (source / "go.mod").write_text(
        "\n".join(
            [
                "module program",
                "go 1.26.0",
                f"require (\n{MODULE.replace('@', ' ')}",
                *lines,
                ")",
                "replace (",
                *(f"{module} => {module} {staging}" for module in staged),
                ")\n",
            ]
        )
    )
    shutil.copyfile(Path(module["Dir"]) / "go.sum", source / "go.sum")
    (source / "go.sum").chmod(0o644)
    (source / "main.go").write_text(main)
    made = target.with_suffix(".part")
    _go(source, command[0], "-mod=mod", "-o", str(made), *command[1:])
    made.rename(target)
    shutil.rmtree(source)


def _go(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["go", *arguments], cwd=folder, capture_output=True, text=True, timeout=BUILD_SECONDS_MAX, check=False)
    if done.returncode:
        raise BuildFailed(done.stderr[-3000:])
    return done.stdout
