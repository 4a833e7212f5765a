"""A range's past goes with it: who watched at the first owner resumes at the third."""

from __future__ import annotations

import pytest

from tenantry.storage.history import TooOld
from tenantry.storage.record import Change, Record, RecordEvent
from tenantry.storage.store import Store
from tests.support.shards import FleetInMemory, Member
from tests.support.waiting import eventually

RESOURCE = "core/configmaps"


async def hand_over(fleet: FleetInMemory, giver: str, taker: str) -> Member:
    """A planned one, as before the giver's end."""
    member = fleet.members.get(taker) or await fleet.join(taker)
    await fleet.members[giver].session.drain()
    await eventually(lambda: fleet.placed() and set(fleet.owners().values()) == {taker})
    return member


async def write(member: Member, number: int) -> None:
    """A creation, a change of the one before, and the deletion of the one before that: of the second kind and of the third."""
    range_ = member.cell.ranges["root"]
    await member.write("root", f"object-{number:03}")
    records: list[Record] = list(range_.list(RESOURCE))
    if len(records) > 2:
        changes = [Change(records[-2].key, b'{"metadata":{"changed":1}}', None, records[-2])]
        changes += [Change(record.key, None, None, record) for record in records[:-2]]
        await member.cell.commit(changes)


def brief(event: RecordEvent) -> tuple[str, int, bytes | None, bytes | None]:
    return (
        event.key.name,
        event.version,
        event.record.value if event.record else None,
        event.previous.value if event.previous else None,
    )


@pytest.mark.parametrize("killed", [False, True])
async def test_history_is_the_same_after_two_changes_of_owner(fleet: FleetInMemory, killed: bool) -> None:
    await fleet.registry()
    member = await fleet.join("one")
    await eventually(fleet.placed)
    begin = member.cell.ranges["root"].version
    seen: list[RecordEvent] = []
    for number, taker in enumerate(("two", "three", "")):
        range_ = member.cell.ranges["root"]
        stop = range_.subscribe(seen.extend, RESOURCE)
        for step in range(5):
            await write(member, 10 * number + step)
        stop()
        await range_.backfilled(begin)
        for known in [begin, *(event.version for event in seen)]:
            expected = [brief(event) for event in seen if event.version > known]
            assert [brief(event) for event in range_.events_after(known, RESOURCE)] == expected
        if taker and killed:
            name = member.info.name
            successor = await fleet.join(taker)
            await fleet.kill(name)
            await eventually(lambda taker=taker: fleet.placed() and set(fleet.owners().values()) == {taker})  # type: ignore[misc]
            member = successor
        elif taker:
            member = await hand_over(fleet, member.info.name, taker)


async def test_compacted_history_is_refused_at_the_next_owner(fleet: FleetInMemory, store: Store) -> None:
    await fleet.registry()
    one = await fleet.join("one")
    await eventually(fleet.placed)
    first = one.cell.ranges["root"].version
    for number in range(6):
        await write(one, number)
    middle = one.cell.ranges["root"].version
    await store.compact((await store.read(b"/", b"0")).revision)
    await write(one, 6)
    last = one.cell.ranges["root"].version
    two = await hand_over(fleet, "one", "two")
    await write(two, 7)
    three = await hand_over(fleet, "two", "three")
    range_ = three.cell.ranges["root"]
    await range_.backfilled(first)
    with pytest.raises(TooOld) as refused:
        range_.events_after(first, RESOURCE)
    assert refused.value.oldest <= middle
    expected = [brief(event) for event in range_.events_after(middle, RESOURCE)]
    assert [name for name, *_ in expected][:1] == ["object-006"]
    assert range_.events_after(last, RESOURCE)[0].key.name == "object-007"
