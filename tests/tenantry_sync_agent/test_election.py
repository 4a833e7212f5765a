"""One leads; another takes over when the lease was not renewed, or at once when it was given back."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest

from tenantry.base.tasks import awaited
from tenantry_sync_agent.api_client import ApiError, Object
from tenantry_sync_agent.election import Election, NotLeading
from tests.support.waiting import eventually


class Leases:
    """A server with one Lease. `away`: whoever is in it gets no answer."""

    server = ""

    def __init__(self) -> None:
        self.lease: Object | None = None
        self.version = 0
        self.holders: list[str] = []

    async def get(self, url: str) -> Object:
        if self.lease is None:
            raise ApiError("GET", 404, "NotFound", "")
        return copy.deepcopy(self.lease)

    async def create(self, url: str, body: Object) -> Object:
        if self.lease is not None:
            raise ApiError("POST", 409, "AlreadyExists", "")
        return self._put(body)

    async def replace(self, url: str, body: Object) -> Object:
        assert self.lease is not None
        if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise ApiError("PUT", 409, "Conflict", "")
        return self._put(body)

    def _put(self, body: Object) -> Object:
        self.version += 1
        self.lease = copy.deepcopy(body)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        holder = self.lease["spec"]["holderIdentity"]
        if not self.holders or self.holders[-1] != holder:
            self.holders.append(holder)
        return copy.deepcopy(self.lease)


class Candidate:
    def __init__(self, leases: Any, name: str, seconds: float = 1.0) -> None:
        self.election = Election(leases, namespace="default", name="x", identity=name, seconds=seconds)
        self.leads = False
        self.task = awaited(self.election.run(self._lead), name=name)

    async def _lead(self) -> None:
        self.leads = True
        try:
            await asyncio.Event().wait()
        finally:
            self.leads = False

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_one_leads_and_gives_the_lease_back() -> None:
    leases = Leases()
    first = Candidate(leases, "first", seconds=3600)
    await eventually(lambda: first.leads)
    second = Candidate(leases, "second", seconds=1)
    first.election.check()
    with pytest.raises(NotLeading):
        second.election.check()
    await first.stop()
    assert not first.leads
    await eventually(lambda: second.leads)
    await second.stop()
    assert leases.holders == ["first", "", "second", ""]


async def test_a_leader_without_a_server_stops_and_another_takes_over() -> None:
    leases = Leases()
    broken: dict[str, bool] = {"first": False}

    class Away:
        server = ""

        def __getattr__(self, name: str) -> Any:
            if broken["first"]:
                raise ApiError(name, 500, "", "")
            return getattr(leases, name)

    first = Candidate(Away(), "first")
    await eventually(lambda: first.leads)
    second = Candidate(leases, "second")
    broken["first"] = True
    await eventually(lambda: second.leads)
    assert not first.leads and not first.election.leading
    broken["first"] = False
    await second.stop()
    await eventually(lambda: first.leads)
    await first.stop()
    assert leases.holders[:4] == ["first", "second", "", "first"]
