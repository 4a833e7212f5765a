"""The results of a run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

Figures = dict[str, float]
"""Row's name → measured value."""
IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Work:
    """The cost of one kind of request on a platform of one size.

    `calls`: calls to etcd per request, by method. `cpu_microseconds`: per request, by kind of process. `seconds`: duration of all
    requests. For `IDLE`, the values are per second.
    """

    tenants: int
    ranges: int
    shards: int
    what: str
    requests: int
    seconds: float
    calls: dict[str, float]
    cpu_microseconds: dict[str, float]


@dataclass(slots=True)
class Results:
    """All results. `left_out`, `failed`: stage → the reason."""

    figures: Figures = field(default_factory=dict)
    work: list[Work] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, object]:
        return asdict(self)
