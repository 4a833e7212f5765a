from __future__ import annotations

import gc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.storage.history import EVENT_BYTES, HistoryLimits
from tenantry.storage.index import Index
from tenantry.storage.keys import Key, catalog_key, decode_key, fence_name, interval, prefix_end
from tenantry.storage.range import Range, TooOld
from tenantry.storage.record import Head, Record, RecordEvent

RESOURCES = ("core/configmaps", "apps/deployments")
keys = st.builds(
    Key,
    cluster=st.sampled_from(["root", "system:admin", "rz"]),
    resource=st.sampled_from(RESOURCES),
    # Names that sort differently as parts of a key than by themselves.
    namespace=st.sampled_from(["", "a", "a-b", "a.b", "b"]),
    name=st.sampled_from(["x", "x-y", "x.y", "z"]),
)


def record(key: Key, version: int) -> Record:
    return Record(key, b"v%d" % version, version, Head())


def event(range_: Range, key: Key, version: int, *, deleted: bool = False) -> RecordEvent:
    return RecordEvent(key, version, None if deleted else record(key, version), range_.get(key))


def by_stored_key(found: Record) -> bytes:
    return found.key.encode()


@given(
    writes=st.lists(st.tuples(keys, st.booleans()), max_size=60),
    listed=st.sets(st.integers(0, 60), max_size=5),
    count=st.integers(1, 40),
)
@settings(max_examples=80, deadline=None)
def test_memory_and_history_are_what_was_committed(writes: list[tuple[Key, bool]], listed: set[int], count: int) -> None:
    range_ = Range("root", "r", "t", limits=HistoryLimits(events=count))
    state: dict[Key, Record] = {}
    states = {0: dict(state)}
    log: list[RecordEvent] = []
    seen: list[RecordEvent] = []
    narrow: list[RecordEvent] = []
    range_.subscribe(seen.extend)
    range_.subscribe(narrow.extend, RESOURCES[0], "root")
    for version, (key, deleted) in enumerate(writes, 1):
        happened = event(range_, key, version, deleted=deleted and key in state)
        range_.apply([happened])
        range_.dispatch([happened])
        log.append(happened)
        if happened.record is None:
            del state[key]
        else:
            state[key] = happened.record
        states[version] = dict(state)
        if version in listed:
            for resource in RESOURCES:
                range_.list(resource)

    assert seen == log
    assert narrow == [e for e in log if (e.key.resource, e.key.cluster) == (RESOURCES[0], "root")]
    assert set(range_.clusters()) == {key.cluster for key in state}
    for resource in RESOURCES:
        mine = [e for e in log if e.key.resource == resource]
        dropped = mine[:-count] if len(mine) > count else []
        oldest = dropped[-1].version if dropped else 0
        assert range_.oldest(resource) == oldest
        assert list(range_.clusters(resource)) == sorted({key.cluster for key in state if key.resource == resource})
        for cluster in (None, "root", "system:admin", "none"):
            for namespace in (None, "", "a", "a-b"):
                for version, then in states.items():
                    expected = sorted(
                        (
                            r
                            for r in then.values()
                            if r.key.resource == resource
                            and cluster in (None, r.key.cluster)
                            and namespace in (None, r.key.namespace)
                        ),
                        key=by_stored_key,
                    )
                    if version < oldest:
                        with pytest.raises(TooOld) as refused:
                            range_.list_at(version, resource, cluster, namespace)
                        assert refused.value.oldest == oldest
                    else:
                        assert list(range_.list_at(version, resource, cluster, namespace)) == expected
                assert list(range_.list(resource, cluster, namespace)) == expected
                assert range_.count(resource, cluster, namespace) == len(expected)
        for version in states:
            if version >= oldest:
                assert list(range_.events_after(version, resource)) == [e for e in mine if e.version > version]
                assert list(range_.events_after(version, resource, "root")) == [
                    e for e in mine if e.version > version and e.key.cluster == "root"
                ]
    for cluster in ("root", "rz"):
        assert list(range_.resources(cluster)) == sorted({key.resource for key in state if key.cluster == cluster})


def test_nothing_is_left_of_what_is_gone() -> None:
    index = Index()
    key = Key("root", RESOURCES[0], "a", "x")
    index.put(record(key, 1))
    index.remove(key)
    index.remove(key)
    assert list(index) == []
    assert index._by_resource == {}
    assert list(index.clusters_in_order(RESOURCES[0])) == []


def test_history_is_bounded_by_bytes() -> None:
    range_ = Range("root", "r", "t", limits=HistoryLimits(events=1000, value_bytes=1000))
    for version in range(1, 100):
        key = Key("root", RESOURCES[0], "a", str(version))
        range_.apply([RecordEvent(key, version, Record(key, b"v" * 100, version, Head()), None)])
    assert [e.version for e in range_.events_after(range_.oldest(RESOURCES[0]), RESOURCES[0])] == list(range(90, 100))
    big = Key("root", RESOURCES[0], "a", "big")
    range_.apply([RecordEvent(big, 100, Record(big, b"v" * 5000, 100, Head()), None)])
    assert range_.oldest(RESOURCES[0]) == 100
    assert range_.oldest(RESOURCES[1]) == 0


@given(
    writes=st.lists(st.integers(0, 9), max_size=60),
    kept=st.integers(1, 4),
    room=st.integers(1, 40),
    backfilled_after=st.integers(0, 60),
)
@settings(max_examples=80, deadline=None)
def test_the_histories_of_a_range_are_bounded_together(writes: list[int], kept: int, room: int, backfilled_after: int) -> None:
    range_bytes = room * (EVENT_BYTES + 10)
    range_ = Range("root", "r", "t", version=100, limits=HistoryLimits(resources=kept, range_bytes=range_bytes))
    range_.loaded(100)
    resources = [f"g{number}.example/things" for number in range(10)]
    log: list[RecordEvent] = []
    for at, number in enumerate(writes):
        if at == backfilled_after:
            key = Key("root", resources[0], "", "past")
            past = RecordEvent(key, 60, Record(key, b"v" * 10, 60, Head()), None)
            range_.backfill([past], 50)
            log.insert(0, past)
        key = Key("root", resources[number], "", str(at))
        happened = RecordEvent(key, 101 + at, Record(key, b"v" * 10, 101 + at, Head()), None)
        range_.apply([happened])
        log.append(happened)
        assert len(range_._histories) <= kept
        assert range_._history_bytes == sum(history.bytes for history in range_._histories.values()) <= range_bytes
    for resource in resources:
        oldest = range_.oldest(resource)
        for version in range(50, 101 + len(writes)):
            expected = [event for event in log if event.key.resource == resource and event.version > version]
            if version >= oldest:
                assert list(range_.events_after(version, resource)) == expected
            else:
                with pytest.raises(TooOld):
                    range_.events_after(version, resource)


def test_the_history_that_was_not_written_for_longest_goes_first() -> None:
    range_ = Range("root", "r", "t", limits=HistoryLimits(resources=2))
    for version, resource in enumerate(("busy", "once", "busy", "other"), 1):
        key = Key("root", f"core/{resource}", "", "x")
        range_.apply([event(range_, key, version)])
    assert [e.version for e in range_.events_after(0, "core/busy")] == [1, 3]
    assert (range_.oldest("core/once"), list(range_.events_after(2, "core/once"))) == (2, [])
    # What never was written may have been, for all that is known now.
    assert range_.oldest("core/never") == 2


def test_a_backfill_puts_events_before_those_since_the_load() -> None:
    range_ = Range("root", "r", "t", version=50)
    keys = [Key("root", RESOURCES[0], "a", str(at)) for at in range(6)]
    range_.load([record(key, 40 + at) for at, key in enumerate(keys[:4])])
    range_.loaded(50)
    with pytest.raises(TooOld) as refused:
        range_.events_after(45, RESOURCES[0])
    assert refused.value.oldest == 50
    now = event(range_, keys[5], 60)
    range_.apply([now])
    past = [RecordEvent(key, 40 + at, record(key, 40 + at), None) for at, key in enumerate(keys[:4])]
    range_.backfill(past, 39)
    assert list(range_.events_after(41, RESOURCES[0])) == [*past[2:], now]
    assert [r.key.name for r in range_.list_at(41, RESOURCES[0])] == ["0", "1"]
    assert list(range_.events_after(39, RESOURCES[1])) == []
    with pytest.raises(TooOld):
        range_.events_after(38, RESOURCES[1])


def test_a_history_with_a_gap_is_not_backfilled() -> None:
    range_ = Range("root", "r", "t", version=50, limits=HistoryLimits(events=1))
    key = Key("root", RESOURCES[0], "a", "x")
    for version in (60, 61):
        range_.apply([event(range_, key, version)])
    range_.backfill([], 10)
    assert (range_.oldest(RESOURCES[0]), range_.oldest(RESOURCES[1])) == (60, 10)


def test_a_follower_moves_on_with_what_it_follows() -> None:
    range_ = Range("root", "r", "t", version=50)
    key = Key("root", RESOURCES[0], "a", "x")
    seen: list[int] = []
    range_.subscribe(lambda events: seen.append(range_.version))
    range_.follow([event(range_, key, 60)], 63)
    assert (range_.version, seen, range_.count(RESOURCES[0])) == (63, [63], 1)


def test_subscribers_come_and_go_during_a_dispatch() -> None:
    range_ = Range("root", "r", "t")
    key = Key("root", RESOURCES[0], "a", "x")
    seen: list[str] = []

    def first(_: object) -> None:
        seen.append("first")
        stop_second()
        range_.subscribe(lambda _: seen.append("third"), RESOURCES[0], "root")

    stop_first = range_.subscribe(first)
    stop_second = range_.subscribe(lambda _: seen.append("second"))
    range_.dispatch([event(range_, key, 1)])
    assert seen == ["first"]
    stop_first()
    stop_first()
    range_.dispatch([event(range_, key, 2)])
    assert seen == ["first", "third"]
    range_.dispatch([event(range_, Key("rz", RESOURCES[0], "a", "x"), 3)])
    assert seen == ["first", "third"]


def test_records_are_no_work_for_the_garbage_collector() -> None:
    made = record(Key("root", RESOURCES[0], "a", "x"), 1)
    assert not gc.is_tracked(made)
    assert not gc.is_tracked(made.head)


@given(keys)
def test_keys_are_read_back(key: Key) -> None:
    assert decode_key(key.encode()) == key
    start, end = interval("r", "t")
    assert start <= key.encode() < end


def test_keys_of_other_things() -> None:
    for wrong in (b"/catalog/g/r/c/n", b"/objects/root/core", b"objects/a/b/c/d/e"):
        with pytest.raises(ValueError):
            decode_key(wrong)
    assert catalog_key("g/r", "root", "n") == b"/catalog/g/r/root/n"
    assert fence_name(b"/fences/root") == "root"
    assert fence_name(b"/journal/x") == "/journal/x"
    assert prefix_end(b"/objects/a/") == b"/objects/a0"


@given(st.lists(st.tuples(st.sampled_from(("a", "b")), st.sampled_from("xyz"), st.integers(0, 9)), max_size=60))
def test_what_a_cluster_holds_is_counted_as_it_comes_and_goes(steps: list[tuple[str, str, int]]) -> None:
    index, model = Index(), dict[Key, bytes]()
    for cluster, name, size in steps:
        key = Key(cluster, "core/configmaps", "default", name)
        if size:
            model[key] = b"x" * size
            index.put(Record(key, model[key], 1, Head()))
        else:
            model.pop(key, None)
            index.remove(key)
        for each in ("a", "b"):
            mine = [value for key, value in model.items() if key.cluster == each]
            assert index.usage(each) == (len(mine), sum(map(len, mine)))
    assert set(index._usage) == {key.cluster for key in model}


@given(
    held=st.sets(keys),
    asked=st.lists(st.sampled_from([*RESOURCES, "core/secrets"]), max_size=3),
    cluster=st.sampled_from(["root", "rz"]),
)
def test_which_of_several_resources_a_cluster_has(held: set[Key], asked: list[str], cluster: str) -> None:
    index = Index()
    for key in held:
        index.put(record(key, 1))
    for key in [key for key in held if key.name == "x"]:
        index.remove(key)
    assert index.having(asked, cluster) == tuple(resource for resource in asked if index.has_any(resource, cluster, None))
