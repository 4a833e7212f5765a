"""Server-side apply beside structured-merge-diff, Go's library: the numbers of docs/decisions 25.

    .venv/bin/python -m tools.alternatives_apply

Three ways to apply a configuration of every key to a ConfigMap: ours; Go's, measured within a Go program; and Go's asked by this
process over a pipe, in JSON. Wall time, best of forty rounds in which ours and the pipe take turns.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from tenantry.kube.apply import server_side
from tenantry.kube.types import config_map

SOURCE = Path(__file__).parent / "structured_merge"
ROUNDS, TIMES = 40, 20


def _config_map(keys: int, value: str) -> dict[str, Any]:
    data = {f"k{number}": value for number in range(keys)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": data}


def _ours(live: dict[str, Any] | None, config: dict[str, Any]) -> dict[str, Any]:
    return server_side.apply(
        live,
        config,
        manager="tool",
        api_version="v1",
        kind="ConfigMap",
        schema=config_map.MESSAGE.schema,
        now="2026-01-01T00:00:00Z",
        force=False,
    )


def _microseconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    for _ in range(TIMES):
        work()
    return (time.perf_counter() - begin) / TIMES * 1e6


def _owned(obj: dict[str, Any]) -> Any:
    return obj["metadata"]["managedFields"][0]["fieldsV1"]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "structured_merge"
        subprocess.run(["go", "build", "-o", program, "."], cwd=SOURCE, check=True)
        with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as served:
            assert served.stdin is not None and served.stdout is not None
            stdin, stdout = served.stdin, served.stdout

            def asked(live: dict[str, Any] | None, config: dict[str, Any]) -> Any:
                stdin.write(orjson.dumps([live, config]) + b"\n")
                stdin.flush()
                return orjson.loads(stdout.readline())

            for keys in (3, 100, 1000):
                new = _config_map(keys, "new")
                live, lives = _ours(None, _config_map(keys, "old")), asked(None, _config_map(keys, "old"))
                changed, theirs = _ours(live, new), asked(lives, new)
                assert changed["data"] == theirs["data"] and _owned(changed) == _owned(theirs)
                best = [float("inf")] * 2
                for _ in range(ROUNDS):
                    best[0] = min(best[0], _microseconds(partial(_ours, live, new)))
                    best[1] = min(best[1], _microseconds(partial(asked, lives, new)))
                within = int(subprocess.check_output([program, str(keys)])) / 1000
                print(f"apply to a ConfigMap of {keys} keys: ours {best[0]:.0f} µs")
                print(f"  in Go {within:.0f} µs, {within / best[0]:.2f} times ours")
                print(f"  over a pipe {best[1]:.0f} µs, {best[1] / best[0]:.2f} times ours")
            stdin.close()


if __name__ == "__main__":
    main()
