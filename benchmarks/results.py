"""What a run found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

Figures = dict[str, float]
"""By the names of rows."""
IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Work:
    """What one kind of request cost the platform, at one size of it. `calls`: of etcd, by method, for each request;
    `cpu_microseconds`: by kind of process, for each request. `seconds`: how long all requests took. Of `IDLE`, a second takes the
    place of a request."""

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
    """`left_out` and `failed`: stages, with the reason."""

    figures: Figures = field(default_factory=dict)
    work: list[Work] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, object]:
        return asdict(self)
