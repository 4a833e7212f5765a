"""The cache: its bounds hold for any use, what it says of itself is so, and it forgets what was not used."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.base.cache import ENTRY_BYTES, KEY_BYTES_MAX, Cache, cached, caches, size_of, sizes

KEYS = st.integers(0, 40).map(lambda number: f"k{number}")


def test_it_remembers_until_told_otherwise() -> None:
    cache: Cache[str, int] = Cache("test", bytes_max=10_000)
    assert cache.get("a") is None
    assert cache.put("a", 1) and cache.put("b", 2)
    assert (cache.get("a"), cache.get("b"), len(cache)) == (1, 2, 2)
    assert cache.pop("a") == 1 and cache.pop("a") is None and "a" not in cache
    cache.clear()
    assert len(cache) == cache.bytes == 0


@given(
    st.lists(
        st.tuples(st.sampled_from(("put", "get", "pop", "grow", "clear")), KEYS, st.integers(0, 700)).filter(
            lambda step: step[0] != "clear" or step[2] < 20
        ),
        max_size=80,
    )
)
def test_the_bounds_hold_and_the_sum_is_right_for_any_use(steps: list[tuple[str, str, int]]) -> None:
    cache: Cache[str, object] = Cache("test", bytes_max=6000, entries_max=12)
    model: dict[str, tuple[object, int]] = {}
    for what, key, number in steps:
        if what == "put":
            value = object()
            if cache.put(key, value, number):
                model[key] = (value, number)
            else:
                model.pop(key, None)
                assert key not in cache
                assert number + ENTRY_BYTES + size_of(key) > 6000 // 8
        elif what == "get":
            assert cache.get(key) in (None, model.get(key, (None,))[0])
        elif what == "pop":
            assert cache.pop(key) in (None, model.pop(key, (None,))[0])
        elif what == "grow":
            cache.grow(key, number)
            if key in model:
                model[key] = (model[key][0], model[key][1] + number)
            if key not in cache:
                model.pop(key, None)
        else:
            cache.clear()
            model.clear()
        assert cache.bytes <= 6000 and len(cache) <= 12
        found = sum(model[kept][1] + ENTRY_BYTES + size_of(kept) for kept in cache)
        assert cache.bytes == found + sum(entry[1] for entry in cache._leaving.values())


def test_what_is_used_stays_and_what_is_not_goes_first() -> None:
    cache: Cache[str, int] = Cache("test", bytes_max=100_000, entries_max=10)
    cache.put("hot", 0)
    for number in range(1000):
        cache.put(f"cold-{number}", number)
        assert cache.get("hot") == 0
    assert len(cache) <= 10
    assert cache.get("cold-999") == 999 and cache.get("cold-980") is None


def test_many_are_found_as_one_is() -> None:
    cache: Cache[str, str] = Cache("test", bytes_max=3_000)
    for key in "abcdefgh":
        cache.put(key, key.upper(), 100)
    assert "h" in cache._young and "e" in cache._old
    found = cache.get_each(["h", "none", "e"])
    assert found == ["H", None, "E"]
    assert "e" in cache._young


@pytest.mark.parametrize(
    "key", ["k" * KEY_BYTES_MAX, b"k" * KEY_BYTES_MAX, ("k" * 600, "l" * 600), "\U0001f600" * 300, ("k",) * 200]
)
def test_a_long_key_is_not_kept_whatever_it_is_made_of(key: object) -> None:
    calls = []

    @cached("test", bytes_max=1 << 20)
    def double(value: object) -> int:
        calls.append(value)
        return 2

    assert double(key) == double(key) == 2
    assert len(calls) == 2
    assert len(double.cache) == 0  # type: ignore[attr-defined]


def test_a_value_that_takes_too_great_a_part_is_not_kept() -> None:
    cache: Cache[str, bytes] = Cache("test", bytes_max=80_000)
    cache.put("a", b"small")
    assert not cache.put("b", bytes(12_000)) and not cache.put("a", bytes(12_000))
    assert cache.get("a") is None and cache.bytes == 0


def test_what_must_be_kept_however_large_counts_as_the_largest() -> None:
    cache: Cache[str, str] = Cache("test", bytes_max=9000, entry_bytes_max=9000, keeps_large=True)
    for number in range(20):
        assert cache.put(f"k{number}", "v", 1 << 30) and cache.get(f"k{number}") == "v"
        assert cache.bytes <= cache.bytes_max and len(cache) <= 3


def test_a_decorated_function_computes_once_for_each_way_to_call_it() -> None:
    calls: list[tuple[int, bool]] = []

    @cached("test", bytes_max=1 << 20)
    def double(number: int, loud: bool = False) -> int:
        """Doubles."""
        calls.append((number, loud))
        if number < 0:
            raise ValueError(number)
        return 2 * number

    assert [double(1), double(1), double(1, loud=True), double(1, loud=True), double(2)] == [2, 2, 2, 2, 4]
    assert calls == [(1, False), (1, True), (2, False)]
    for _ in range(2):
        with pytest.raises(ValueError, match="-1"):
            double(-1)
    assert len(calls) == 5, "what was raised is not kept"
    assert (double.__name__, double.__doc__) == ("double", "Doubles.")


def test_a_key_error_of_the_function_is_its_own() -> None:
    @cached("test", bytes_max=1 << 20)
    def broken(key: str) -> str:
        return dict[str, str]()[key]

    with pytest.raises(KeyError, match="a"):
        broken("a")


def test_caches_are_known_by_name_for_as_long_as_they_live() -> None:
    first: Cache[str, bytes] = Cache("test of names", bytes_max=1 << 20)
    second: Cache[str, bytes] = Cache("test of names", bytes_max=1 << 20)
    first.put("a", b"")
    second.put("b", b"")
    found = dict(sizes())["test of names"]
    assert (found.entries, found.bytes, found.bytes_max) == (2, first.bytes + second.bytes, 2 << 20)
    del first, second
    gc.collect()
    assert "test of names" not in {cache.name for cache in caches()}


def test_the_size_is_that_of_the_memory() -> None:
    random = Random(7)
    tracemalloc.start()
    try:
        for entries in (100, 1000):
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            cache: Cache[str, object] = Cache("test", bytes_max=1 << 30)
            for number in range(entries):
                cache.put(f"key-{number}", {"a": [random.random() for _ in range(5)], "b": ("x" * random.randrange(100), None)})
            taken = tracemalloc.get_traced_memory()[0] - before
            assert 0.8 * taken < cache.bytes < 1.6 * taken
            del cache
    finally:
        tracemalloc.stop()


def test_the_size_of_a_function_counts_what_it_carries() -> None:
    data = bytes(100_000)

    def closure() -> int:
        return len(data)

    assert size_of(closure) > 100_000
    assert size_of(len) == size_of(Cache) == 0
    assert size_of([[bytes(1000)] for _ in range(1000)], 5000) < 10_000, "counting ends at the limit"


def test_threads_share_a_cache() -> None:
    cache: Cache[str, int] = Cache("test", bytes_max=30_000, entries_max=50)
    wrong: list[object] = []

    def work(seed: int) -> None:
        random = Random(seed)
        for _ in range(1000):
            number = random.randrange(100)
            value = cache.compute(str(number), lambda n=number: n)  # type: ignore[misc]
            if value != number:
                wrong.append((number, value))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(cache) <= 50 and cache.bytes <= 30_000
