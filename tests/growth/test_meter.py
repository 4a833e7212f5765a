"""The nets catch what they are for: work that grows faster than its input, in Python and in C."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.growth.meter import Seen, assert_linear, assert_time_is_linear


def texts(n: int) -> list[str]:
    return [Seen(f"x{i}") for i in range(n)]


def nested_loop(items: list[str]) -> object:
    return [first for first in items for second in items if first is second]


def in_a_list(items: list[str]) -> object:
    kept: list[str] = []
    for item in items:
        if item not in kept:
            kept.append(item)
    return kept


def remove(items: list[str]) -> object:
    left = list(items)
    for item in reversed(items):
        left.remove(item)
    return left


SABOTAGE: list[Callable[[list[str]], object]] = [
    nested_loop,
    in_a_list,
    lambda items: [item for item in items if items.count(item) > 1],
    lambda items: [items.index(item) for item in items],
    remove,
]
PLAIN: list[Callable[[list[str]], object]] = [SABOTAGE[0], *SABOTAGE[2:]]
IN_C: list[Callable[[list[str]], object]] = [
    lambda items: [item for item in items if items.count(item) > 1],
    in_a_list,
]


@pytest.mark.parametrize("work", SABOTAGE)
def test_counting_sees_searches(work: Callable[[list[str]], object]) -> None:
    def make(n: int) -> Callable[[], object]:
        items = texts(n)
        return lambda: work(items)

    with pytest.raises(AssertionError, match="lines"):
        assert_linear(make)


@pytest.mark.parametrize("work", PLAIN)
def test_counting_sees_what_methods_of_lists_search(work: Callable[[list[str]], object]) -> None:
    def make(n: int) -> Callable[[], object]:
        items = [f"x{i}" for i in range(n)]
        return lambda: work(items)

    with pytest.raises(AssertionError, match="lines"):
        assert_linear(make)


@pytest.mark.parametrize("work", IN_C)
def test_time_sees_what_counting_does_not(work: Callable[[list[str]], object]) -> None:
    def make(n: int) -> Callable[[], object]:
        items = [f"x{i}" for i in range(n)]
        return lambda: work(items)

    with pytest.raises(AssertionError, match=r" s$"):
        assert_time_is_linear(make, small=384, attempts=3)


def test_linear_work_passes() -> None:
    def make(n: int) -> Callable[[], object]:
        items = texts(n)
        return lambda: sorted({item: len(item) for item in items})

    assert_linear(make)
    assert_time_is_linear(make)
