"""Kubernetes' answers to what `conversion` asks.

python -m tests.clients.conversion_reference     # records them; builds kube-apiserver if it is not there
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.hostile.kube_apiserver import kube_apiserver
from tests.clients.conversion import Player, play
from tests.support.api import Api
from tests.support.webhooks import WebhookServer

FILE = Path(__file__).parent / "conversion.json"
_TOKEN = "admintok"
_NO_PROGRESS = "its cache of this version waits for a progress that the reference's etcd does not tell"
ACCIDENTS: Mapping[str, str] = {
    "watch v1, list": _NO_PROGRESS,
    "watch v2, list": _NO_PROGRESS,
    "watch v2, state": _NO_PROGRESS,
    "unknown-fields: apply v2": "of the unknown fields of an object it names the one that it comes upon first, in no order",
}
"""Where Kubernetes' answer is no rule: step → why."""


def recorded() -> dict[str, Any]:
    """Step → the answer."""
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


def differences(answers: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """The steps with other answers than Kubernetes', with both."""
    kubernetes = recorded()
    for step, answer in answers.items():
        if answer != kubernetes.get(step) and step not in ACCIDENTS:
            yield step, answer, kubernetes.get(step)


def _record() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name, WebhookServer() as hooks:
        folder = Path(name)
        tokens = folder / "tokens.csv"
        tokens.write_text(f'{_TOKEN},admin,uid-admin,"system:masters"\n')
        with kube_apiserver(folder / "reference", tokens) as running:
            player = Player(Api(running.url, str(running.ca), _TOKEN), hooks)
            try:
                play(player)
            finally:
                FILE.write_text(_lines(player.answers))
    return player.answers


def _lines(answers: Mapping[str, Any]) -> str:
    """One step a line."""
    texts = {step: json.dumps(answer, separators=(",", ":"), sort_keys=True) for step, answer in sorted(answers.items())}
    steps = (f"{json.dumps(step)}: {text}" for step, text in texts.items())
    return "{\n" + ",\n".join(steps) + "\n}\n"


if __name__ == "__main__":
    _record()
