"""Kubernetes' answers to what `published` finds: from a kube-apiserver that runs here, or recorded from one.

python -m tests.clients.published_reference     # records all modules; builds kube-apiserver if it is not there
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import urllib3

from benchmarks.hostile.kube_apiserver import kube_apiserver
from tests.clients.published import MODULES, Published, published
from tests.clients.published_answers import Answer, Send, answers_of, digest, remove

Object = dict[str, Any]
FOLDER = Path(__file__).parent / "published"
TOKEN = "admintok"
_SECONDS = 60

_PRUNED = "an apply of fields that are pruned counts as a change of the generation"
_FIRST = "of the unknown fields of an object it names the one that it comes upon first, in no order"
ACCIDENTS = {
    ("clusterresources.cli.kyverno.io", "*"): _PRUNED,
    ("contexts.cli.kyverno.io", "*"): _PRUNED,
    ("analysisruns.argoproj.io", "* apply*"): _FIRST,
    ("clusterpolicies.kyverno.io", "* apply*"): _FIRST,
    ("k8srequiredlabels.constraints.gatekeeper.sh", "* apply*"): _FIRST,
    ("myresources.example.io", "* strict"): "the text has the object's uid",
    ("tasks.tekton.dev", "*"): "an apply that takes the last field out of an object sets null, which is in docs/conformance.md",
}
"""Where Kubernetes' answer is no rule: (definition, steps) → why."""


def is_accident(definition: str, step: str) -> bool:
    return any(definition == name and fnmatchcase(step, steps) for name, steps in ACCIDENTS)


def sender(url: str, ca: str, token: str) -> Send:
    """Sends requests of JSON with a bearer token."""
    pool = urllib3.PoolManager(ca_certs=ca, timeout=_SECONDS, retries=False)

    def send(method: str, path: str, body: Any, headers: Mapping[str, str]) -> Answer:
        given = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Accept": "application/json", **headers}
        content = None if body is None else json.dumps(body).encode()
        answer = pool.request(method, url + path, body=content, headers=given)
        return _Answer(answer.status, dict(answer.headers), answer.data)

    return send


class _Answer:
    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body


@contextmanager
def reference(folder: Path) -> Iterator[Send]:
    """A kube-apiserver, as system:masters."""
    tokens = folder / "reference.csv"
    tokens.write_text(f'{TOKEN},admin,uid-admin,"system:masters"\n')
    with kube_apiserver(folder / "reference", tokens) as running:
        yield sender(running.url, str(running.ca), TOKEN)


def recorded(module: str) -> Mapping[str, Mapping[str, str]]:
    """Definition → step → digest of the answer."""
    found: Mapping[str, Mapping[str, str]] = json.loads(_file(module).read_text())
    return found


def _file(module: str) -> Path:
    return FOLDER / f"{module.replace('/', '_')}.json"


def differences(send: Send, module: str, expected: Callable[[Published], Mapping[str, Object] | Mapping[str, str]]) -> list[str]:
    """Runs through a module. `expected` gives the answers of the reference to a definition by step, or their digests. Returns a
    text for each that differs."""
    found: list[str] = []
    for one in published(module).values():
        right, seen = expected(one), dict(answers_of(send, one))
        for step in [*seen, *(step for step in right if step not in seen)]:
            mine: Object | None = seen.get(step)
            theirs: Any = right.get(step)
            same = mine is not None and (digest(mine) if isinstance(theirs, str) else mine) == theirs
            if not same and not is_accident(one.name, step):
                found.append(f"{one.name}: {step}\n  reference: {json.dumps(theirs)}\n  here:      {json.dumps(mine)}")
    for one in published(module).values():
        remove(send, one)
    return found


def record() -> None:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, reference(Path(folder)) as send:
        for module in MODULES:
            answers = {
                name: {step: digest(found) for step, found in answers_of(send, one)} for name, one in published(module).items()
            }
            for one in published(module).values():
                remove(send, one)
            _file(module).write_text(json.dumps(answers, indent=0, sort_keys=True) + "\n")


if __name__ == "__main__":
    record()
