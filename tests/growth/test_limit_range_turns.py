"""However many containers a Pod has and LimitRanges a namespace, holding one against the other takes few lines, or is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.base.cache import caches
from tenantry.kube.objects import Object
from tenantry.kube.workloads.limits import refusals, set_defaults, steps
from tenantry.kube.workloads.usage import PODS
from tests.growth.meter import lines

STEPS = 2000
"""What admission allows (tenancy/admission/limit_ranger.py)."""
LINES_OF_A_STEP = 26


def limit_ranges(count: int, of: str, **bounds: int) -> list[Object]:
    """`bounds`: bound → of how many resources."""
    item: Any = {bound: {f"example.com/r{number}": "5" for number in range(many)} for bound, many in bounds.items()}
    return [{"spec": {"limits": [{"type": of, **item}]}} for _ in range(count)]


def pod(containers: int, resources: int, field: str = "containers") -> Object:
    def amounts(at: int) -> dict[str, str]:
        return {f"example.com/r{number}": f"1.{at}{number}" for number in range(resources)}

    each = [
        {"name": f"c{at}", "image": "x", "resources": {"requests": amounts(at), "limits": amounts(at)}}
        for at in range(containers)
    ]
    return {"metadata": {"name": "p"}, "spec": {field: each}}


SHAPES = {
    "defaults of containers": (limit_ranges(1, "Container", default=20, defaultRequest=20), pod(40, 0)),
    "bounds of containers": (limit_ranges(4, "Container", min=2, max=2, maxLimitRequestRatio=2), pod(40, 2)),
    "nothing about containers": (limit_ranges(200, "Container"), pod(9, 1)),
    "bounds of Pods": (limit_ranges(200, "Pod", max=1), pod(250, 1)),
    "bounds of Pods that start": (limit_ranges(20, "Pod", max=20), pod(10, 20, "initContainers")),
    "nothing about Pods": (limit_ranges(200, "Pod"), pod(300, 1)),
}


@pytest.fixture(autouse=True)
def nothing_is_cached() -> None:
    """What other tests have cached is lines less, or lines more where it is evicted."""
    for cache in caches():
        cache.clear()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_step_is_a_few_lines(shape: str) -> None:
    ranges, obj = SHAPES[shape]
    counted = steps(ranges, PODS, obj)
    assert counted <= STEPS, "admission refuses this, so it is no measure"

    def held() -> None:
        for limit_range in ranges:
            set_defaults(limit_range, obj)
        refusals(ranges, PODS, obj)

    found = lines(held)
    assert found <= LINES_OF_A_STEP * counted, f"{found} lines for {counted} steps"


@pytest.mark.parametrize(("ranges", "obj"), [
    (limit_ranges(200, "Container"), pod(2000, 0)),
    (limit_ranges(200, "Pod", max=1), pod(2000, 1)),
    (limit_ranges(1, "Pod", max=1), pod(1000, 1)),
    (limit_ranges(2, "Container", default=20), pod(100, 0)),
])  # fmt: skip
def test_many_of_both_are_counted(ranges: list[Object], obj: Object) -> None:
    assert steps(ranges, PODS, obj) > STEPS
    assert lines(lambda: steps(ranges, PODS, obj)) < 60_000
