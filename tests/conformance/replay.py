#!/usr/bin/env python3
"""Replay recorded kube-apiserver sequences against a workspace and print what differs.

    tests/conformance/replay.py --kit FOLDER https://127.0.0.1:6443 --base-path /clusters/root:x [--theme NAME] [--json FILE]

The kit (cases, golden answers, replayer) is no part of this repository: its folder comes from `--kit` or from the environment
variable CONFORMANCE_KIT. Everything else is passed on to it. Every object in a workspace carries the annotation `kcp.io/cluster`,
and every token of a service account names its workspace, in a claim and in an extra value of the user; these are dropped before
bodies are compared, so that a difference means something. `waived.toml` beside this file lists the differences that come from
being a workspace.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Any

CLUSTER_ANNOTATION = "kcp.io/cluster"
CLUSTER_EXTRA = "authentication.kcp.io/cluster-name"
CLUSTER_CLAIM = "clusterName"
YAML_CLUSTER_ANNOTATION = re.compile(r"(?m)^( *)annotations:\n\1  kcp\.io/cluster: .*\n(?!\1  )|^ *kcp\.io/cluster: .*\n")
WAIVERS = Path(__file__).resolve().parent / "waived.toml"


def without_cluster(value: Any) -> Any:
    """The value without what names the logical cluster, and without annotations that become empty by that."""
    if isinstance(value, list):
        return [without_cluster(item) for item in value if item != CLUSTER_EXTRA]
    if not isinstance(value, dict):
        return value
    out = {key: without_cluster(item) for key, item in value.items() if key != CLUSTER_EXTRA}
    if "serviceaccount" in out:
        out.pop(CLUSTER_CLAIM, None)
    annotations = out.get("annotations")
    if isinstance(annotations, dict) and CLUSTER_ANNOTATION in annotations:
        del annotations[CLUSTER_ANNOTATION]
        if not annotations:
            del out["annotations"]
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, add_help=False, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kit", type=Path, default=os.environ.get("CONFORMANCE_KIT"))
    options, rest = parser.parse_known_args()
    if options.kit is None:
        parser.error("give the folder of the kit with --kit or CONFORMANCE_KIT")
    folder = Path(options.kit).resolve()
    sys.path.insert(0, str(folder))
    from kit import cli, normalise, session  # type: ignore[import-not-found]

    class Normaliser(normalise.Normaliser):  # type: ignore[misc]
        def text(self, value: str) -> str:
            return super().text(YAML_CLUSTER_ANNOTATION.sub("", value))

        def value(self, value: Any, key: str = "") -> Any:
            return super().value(value if key else without_cluster(value), key)

    session.Normaliser = Normaliser
    if not any(argument.split("=")[0] == "--waivers" for argument in rest):
        rest += ["--waivers", str(WAIVERS)]
    sys.argv[1:] = rest
    return int(cli.replay(folder))


if __name__ == "__main__":
    sys.exit(main())
