"""Programs that people use with API servers, built from the Go modules that their projects publish.

python -m tools.go_programs     # builds what is not there yet, and prints the folder
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools import kubernetes_module

_KUBECTL = """package main

import (
	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
)

func main() {
	if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err)
	}
}
"""
_STAMP = "k8s.io/component-base/version"


@dataclass(frozen=True, slots=True)
class GoProgram:
    """A program. `modules`: module → version. `main`: the text of a main package of ours, empty where `package` is built."""

    modules: Mapping[str, str]
    main: str = ""
    package: str = "."
    flags: Sequence[str] = ()


def _kubectl(version: str) -> GoProgram:
    minor = version.split(".")[1]
    stamps = f"-X {_STAMP}.gitVersion=v1{version[2:]} -X {_STAMP}.gitMajor=1 -X {_STAMP}.gitMinor={minor}"
    return GoProgram(dict.fromkeys(("k8s.io/kubectl", "k8s.io/component-base"), version), _KUBECTL, flags=("-ldflags", stamps))


_KUBECTL_VERSIONS = (
    "v0.27.3",
    "v0.28.3",
    "v0.29.6",
    "v0.30.14",
    "v0.31.3",
    "v0.32.3",
    "v0.33.13",
    "v0.34.13",
    "v0.35.10",
    "v0.36.6",
    "v0.37.2",
)
PROGRAMS: Mapping[str, GoProgram] = {
    **{f"kubectl.1.{version.split('.')[1]}": _kubectl(version) for version in _KUBECTL_VERSIONS},
    "helm3": GoProgram({"helm.sh/helm/v3": "v3.22.0"}, package="helm.sh/helm/v3/cmd/helm"),
    "helm4": GoProgram({"helm.sh/helm/v4": "v4.3.1"}, package="helm.sh/helm/v4/cmd/helm"),
}
"""By the name of the file."""
UPSTREAM_SPECS = "e2e.test"
"""Kubernetes' own end-to-end tests."""
_BUILD_SECONDS = 1800.0


class BuildFailed(Exception):
    """The text is what Go said."""


def folder() -> Path:
    """Where the programs are: `kubectl` there is the newest of its minors, which stand beside it."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tenantry" / "clients"


def build_all() -> None:
    """Builds what is not there yet. Raises BuildFailed, also kubernetes_module's."""
    folder().mkdir(parents=True, exist_ok=True)
    for name, each in PROGRAMS.items():
        target = folder() / name
        if not target.exists():
            print(f"building {name}", file=sys.stderr, flush=True)
            _build(each, target)
    specs = folder() / UPSTREAM_SPECS
    if not specs.exists():
        print(f"building {UPSTREAM_SPECS}", file=sys.stderr, flush=True)
        kubernetes_module.build(specs, "package main\n", ("test", "-c", "-vet=off", "k8s.io/kubernetes/test/e2e"))
    newest = folder() / "kubectl"
    newest.unlink(missing_ok=True)
    newest.symlink_to(max((name for name in PROGRAMS if name.startswith("kubectl.")), key=lambda name: int(name.split(".")[-1])))


def _build(program: GoProgram, target: Path) -> None:
    with tempfile.TemporaryDirectory() as source:
        (Path(source) / "go.mod").write_text("module program\ngo 1.24\n")
        if program.main:
            (Path(source) / "main.go").write_text(program.main)
        _go(source, "get", *(f"{module}@{version}" for module, version in program.modules.items()))
        if program.main:
            _go(source, "mod", "tidy")
        made = target.with_suffix(target.suffix + ".part")
        _go(source, "build", "-mod=mod", "-trimpath", *program.flags, "-o", str(made), program.package)
        made.rename(target)


def _go(source: str, *arguments: str) -> None:
    done = subprocess.run(["go", *arguments], cwd=source, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False)
    if done.returncode:
        raise BuildFailed(f"go {' '.join(arguments)}: {done.stderr[-3000:]}")


if __name__ == "__main__":
    build_all()
    print(folder())
