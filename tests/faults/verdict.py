"""What the checker found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

LOST = "acknowledged write lost"
DOUBLED = "write doubled"
PHANTOM = "write that was refused, or that nobody asked for"
TORN = "write not whole"
OLD_OWNER = "commit by an old owner"
ORDER = "writes out of order"
STALE = "stale read"
WRONG = "read of what never was"
LIST = "list is no state of its time"
WATCH = "watch with a gap, a repetition or disorder"
RELIST = "watch that could not be resumed"
STRANGER = "object of a stranger in a view"
SHOWN_MAX = 20
KINDS = ("create", "update", "delete", "get", "list")


@dataclass(frozen=True, slots=True)
class Violation:
    rule: str
    text: str


@dataclass(slots=True)
class Verdict:
    """True if nothing is wrong. `counts`: how much was judged, by kind. `taken_over`: by fault, seconds, one for
    each range."""

    violations: list[Violation] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    taken_over: dict[str, list[float]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return not self.violations

    def wrong(self, rule: str, text: str) -> None:
        self.violations.append(Violation(rule, text))

    def add(self, other: Verdict) -> None:
        self.violations += other.violations
        self.counts += other.counts
        for fault, seconds in other.taken_over.items():
            self.taken_over.setdefault(fault, []).extend(seconds)

    def of(self, rule: str) -> int:
        return sum(violation.rule == rule for violation in self.violations)

    def summary(self) -> str:
        """For people: what was judged, the three promises, anything else that is wrong, and the take-overs."""
        count = self.counts
        faults = [
            f"{number} {kind.removeprefix('fault ')}" for kind, number in sorted(count.items()) if kind.startswith("fault ")
        ]
        others = Counter(violation.rule for violation in self.violations)
        lines = [
            ", ".join(f"{count[kind]} {kind}s" for kind in KINDS)
            + f": {count['ok']} answered, {count['fail']} refused, {count['unknown']} of unknown outcome"
            f" (of those writes {count['came true']} took effect)",
            f"{count['events']} watch events on {count['streams']} streams, {count['resumed']} times resumed; "
            f"{count['stored']} writes in etcd's history, {count['owners']} owners of ranges",
            f"of these {count['reads of views']} answered reads and {count['events of views']} events on "
            f"{count['streams of views']} streams of views",
            f"faults: {', '.join(faults) or 'none'}",
            f"{self.of(OLD_OWNER)} commits by old owners, {self.of(STALE)} stale reads, {self.of(LOST)} lost acknowledged writes",
            f"violations: {', '.join(f'{number} x {rule}' for rule, number in sorted(others.items())) or 'none'}",
        ]
        for fault, seconds in sorted(self.taken_over.items()):
            times = sorted(seconds)
            middle, late = _quantile(times, 0.5), _quantile(times, 0.99)
            quantiles = f"p50 {middle:.2f} s, p99 {late:.2f} s, max {times[-1]:.2f} s"
            lines.append(f"{fault}: {len(times)} ranges were served again after {quantiles}")
        lines += [f"  {violation.rule}: {violation.text}" for violation in self.violations[:SHOWN_MAX]]
        return "\n".join(lines)


def _quantile(ordered: Sequence[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
