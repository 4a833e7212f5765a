"""An etcd without space: writes are refused in clear words, reads go on, nothing that was acknowledged is lost."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import grpc
import pytest

from tests.support.api import CONFIG_MAPS, Api, Refused, config_map
from tests.support.etcd import EtcdServer
from tests.support.fleet import Fleet
from tests.support.waiting import wait_for

QUOTA_BYTES = 16 * 1024 * 1024
WRITES_MAX = 500
TTL_SECONDS = 15
"""A machine that writes so much may stand still for seconds."""
LIST, DEACTIVATE, NOSPACE = b"\x08\x00", b"\x08\x02", b"\x18\x01"
ALARM = re.compile(rb"\x08(?P<member>[\x80-\xff]*[\x00-\x7f])\x10\x01", re.DOTALL)
"""One that is on, in the answer: its member's number and its kind."""


@pytest.fixture
def small() -> Iterator[Fleet]:
    full = EtcdServer(extra=(f"--quota-backend-bytes={QUOTA_BYTES}",))
    with Fleet(etcd=full, flags={"shard": ("--session-ttl-seconds", str(TTL_SECONDS))}) as fleet:
        yield fleet


def test_full_etcd_refuses_writes_and_loses_nothing(small: Fleet) -> None:
    place = small.root.workspace("place")
    place.create(CONFIG_MAPS, config_map("first"))
    acknowledged, refusal = fill(place)
    assert refusal.answer.status == 503, refusal
    assert "the store takes no writes now" in refusal.answer.text and "space" in refusal.answer.text
    owner = small.owner(place.name)
    until_seconds = time.monotonic() + 2 * TTL_SECONDS
    while time.monotonic() < until_seconds:
        assert place.get(f"{CONFIG_MAPS}/first")["metadata"]["name"] == "first"
    assert small.owner(place.name) is owner, "sessions are kept alive without space"

    small.etcd.kill()
    small.etcd.extra = (f"--quota-backend-bytes={16 * QUOTA_BYTES}",)
    small.etcd.start()
    # A member that has just started does not know its alarms at once.
    wait_for(lambda: disarmed(small.etcd) and taken(place), "writes are taken again")
    assert {"first", "after", *acknowledged} <= set(place.names(CONFIG_MAPS))


def fill(place: Api) -> tuple[list[str], Refused]:
    """Writes until it is refused: what was acknowledged, and the refusal."""
    acknowledged: list[str] = []
    for number in range(WRITES_MAX):
        try:
            place.create(CONFIG_MAPS, config_map(f"more-{number}", {"value": "x" * 256 * 1024}))
        except Refused as refused:
            return acknowledged, refused
        acknowledged.append(f"more-{number}")
    raise AssertionError(f"{WRITES_MAX} writes were taken")


def taken(place: Api) -> bool:
    return place.status_of("POST", CONFIG_MAPS, config_map("after")) in (201, 409)


def disarmed(etcd: EtcdServer) -> bool:
    """As `etcdctl alarm disarm`, in protobuf's bytes: no message of the product's is about alarms."""
    with grpc.insecure_channel(f"127.0.0.1:{etcd.port}") as channel:
        call = channel.unary_unary("/etcdserverpb.Maintenance/Alarm")
        try:
            alarm = ALARM.search(call(LIST, timeout=5))
            if alarm is not None:
                call(DEACTIVATE + b"\x10" + alarm["member"] + NOSPACE, timeout=5)
        except grpc.RpcError:
            return False
    return True
