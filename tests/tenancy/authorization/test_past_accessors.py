"""What there was at a version, as far as it is remembered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.storage.range import TooOld
from tenantry.tenancy.authorization import past_accessors
from tenantry.tenancy.authorization.past_accessors import CHANGES_MAX, PastAccessors

CLUSTERS = ("one", "two", "three")
STEPS = st.lists(st.tuples(st.sampled_from(CLUSTERS), st.booleans()), max_size=40)


def past(bytes_max: int = 1 << 20) -> PastAccessors[str]:
    return PastAccessors(len, bytes_max=bytes_max)


@given(STEPS, st.sampled_from([1 << 20, 3000]))
def test_what_it_tells_is_true(steps: list[tuple[str, bool]], bytes_max: int) -> None:
    """It tells what was there at a version, or that this is not known."""
    remembered = past(bytes_max)
    for version, (cluster, known) in enumerate(steps):
        remembered.add(cluster, f"before {version}" if known else None, version)
    for at in range(len(steps) + 1):
        try:
            found = remembered.since(at)
        except TooOld:
            assert bytes_max == 3000
            continue
        later = {cluster: [v for v, (c, _) in enumerate(steps) if c == cluster and v >= at] for cluster in CLUSTERS}
        assert found.keys() == {cluster for cluster, versions in later.items() if versions}
        for cluster, before in found.items():
            first = later[cluster][0]
            if before is not None or len(later[cluster]) <= CHANGES_MAX:
                assert before == (f"before {first}" if steps[first][1] else None)


def test_the_first_change_since_tells() -> None:
    remembered = past()
    for version, before in ((10, "a"), (20, "b"), (30, None), (40, None), (50, "c")):
        remembered.add("one", before, version)
    found = [remembered.since(version).get("one", "now") for version in (5, 10, 11, 21, 31, 40, 41, 51)]
    assert found == ["a", "a", "b", None, None, None, "c", "now"]


def test_a_cluster_that_changes_often_forgets_alone() -> None:
    remembered = past()
    remembered.add("quiet", "a", 1)
    for version in range(10, 10 + 3 * CHANGES_MAX):
        remembered.add("busy", str(version), version)
    assert remembered.since(1) == {"quiet": "a", "busy": None}
    last = 10 + 3 * CHANGES_MAX - 1
    assert remembered.since(last) == {"busy": str(last)}
    assert remembered.since(last + 1) == {}


def test_what_was_dropped_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_accessors, "CLUSTERS_MAX", 2)
    remembered = past()
    for version, cluster in enumerate(("one", "two", "three"), 10):
        remembered.add(cluster, "before", version)
    with pytest.raises(TooOld) as raised:
        remembered.since(10)
    assert raised.value.oldest == 11
    assert remembered.since(11) == {"two": "before", "three": "before"}
    remembered.forget(20)
    with pytest.raises(TooOld):
        remembered.since(19)
    assert remembered.since(20) == {}


def test_its_bytes_are_bounded() -> None:
    remembered = past(bytes_max=100_000)
    for version in range(1, 1000):
        remembered.add(f"cluster-{version}", "x" * 1000, version)
    assert 10 < len(remembered.since(950)) < 100
    with pytest.raises(TooOld):
        remembered.since(500)
