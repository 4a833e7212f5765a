"""Runs one family against one server: quiet, attack, a quiet minute. The end of that minute is the baseline of the next
family."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

from benchmarks.hostile.attack import READY
from benchmarks.hostile.quiet import Answers, QuietTenants
from benchmarks.hostile.servers import Serving

_ROOT = Path(__file__).resolve().parents[2]
_END_SECONDS_MAX = 180.0


class AttackFailed(Exception):
    """The hostile tenant could not prepare its objects, or ended too early. The text is the end of its output."""


@dataclass(frozen=True, slots=True)
class Row:
    """The result of one family on one server.

    `hostile`: the hostile tenant's answers by status, 0 for lost connections. `kept_bytes`: growth of the resident memory, a
    minute after the attack. `failed`: the errors of the quiet tenants. `changed_hands`: ranges that have another owner.
    `longest_stall_cpu_seconds`: CPU time of the loop in a stall; in the rest of the stall it waited for a CPU. The stalls of the
    quiet minute before the attack are caused by the machine alone.
    """

    family: str
    server: str
    quiet_p99_ms: float
    attacked_p99_ms: float
    attacked_p50_ms: float
    quiet_stall_seconds: float | None
    longest_stall_seconds: float | None
    longest_stall_cpu_seconds: float | None
    kept_bytes: int
    changed_hands: int
    hostile: dict[str, int]
    failed: dict[str, int]

    @property
    def server_errors(self) -> int:
        """Number of answers with a status of 500 or more to all tenants. For quiet tenants, lost connections count, too."""
        hostile = sum(count for status, count in self.hostile.items() if int(status) >= 500)
        return hostile + sum(count for what, count in self.failed.items() if what[:1] == "5" or what.startswith("lost"))

    def document(self) -> dict[str, object]:
        return asdict(self)


class Measurement:
    """The measurement of one server. A context manager; on entry the quiet tenants get their objects and connections."""

    def __init__(self, name: str, serving: Serving, *, seconds: float, memory_after_seconds: float) -> None:
        self._name = name
        self._serving = serving
        self._seconds = seconds
        self._memory_after_seconds = memory_after_seconds
        self._quiet = QuietTenants(serving.url, serving.ca, serving.quiet)
        self._loop = uvloop.new_event_loop()
        self._before: Answers | None = None

    def __enter__(self) -> Measurement:
        self._loop.run_until_complete(self._quiet.prepare())
        # The work that a process does only once is done now.
        self._tenants(self._seconds / 4)
        return self

    def __exit__(self, *_: object) -> None:
        self._quiet.close()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def row(self, family: str) -> Row:
        """Runs one family and returns its result. Raises AttackFailed."""
        serving = self._serving
        before = self._before or self._tenants(self._seconds)
        self._before = None
        quiet_stall, _ = serving.longest_stall_seconds()
        attack = self._start(family)
        memory, owners = serving.memory_bytes(), serving.owners()
        assert attack.stdin is not None
        try:
            attack.stdin.write("go\n")
            attack.stdin.flush()
            during = self._tenants(self._seconds)
            stall, stall_cpu = serving.longest_stall_seconds()
            answers, said = attack.communicate(timeout=_END_SECONDS_MAX)
        except subprocess.TimeoutExpired as late:
            raise AttackFailed(f"it did not end within {_END_SECONDS_MAX:g} s") from late
        finally:
            attack.kill()
        if attack.returncode:
            raise AttackFailed(said[-1500:])
        after = self._tenants(max(0.0, self._memory_after_seconds - self._seconds))
        self._before = self._tenants(self._seconds)
        now = serving.owners()
        failed = Counter(during.failed) + Counter(after.failed) + Counter(self._before.failed)
        return Row(
            family,
            self._name,
            before.percentile_ms(99),
            during.percentile_ms(99),
            during.percentile_ms(50),
            quiet_stall,
            stall,
            stall_cpu,
            serving.memory_bytes() - memory,
            sum(now.get(name) != generation for name, generation in owners.items()),
            json.loads(answers),
            dict(failed),
        )

    def _tenants(self, seconds: float) -> Answers:
        return self._loop.run_until_complete(self._quiet.measure(seconds))

    def _start(self, family: str) -> subprocess.Popen[str]:
        """Starts the hostile tenant. Returns when it has prepared its objects and waits."""
        serving = self._serving
        order = {
            "url": serving.url,
            "ca": serving.ca,
            "site": asdict(serving.hostile),
            "family": family,
            "seconds": self._seconds,
        }
        attack = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.hostile.attack"],
            cwd=_ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert attack.stdin is not None and attack.stdout is not None and attack.stderr is not None
        attack.stdin.write(json.dumps(order) + "\n")
        attack.stdin.flush()
        if attack.stdout.readline().strip() != READY:
            attack.kill()
            raise AttackFailed(attack.stderr.read()[-1500:])
        return attack
