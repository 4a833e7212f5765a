"""The view of a syncer passes what `tenantry views check` tries."""

from __future__ import annotations

from tenantry.cli.view_check.run import check
from tenantry_syncer.syncer import Syncer


async def test_every_check_passes() -> None:
    outcomes = {outcome.check: (outcome.result, outcome.why) for outcome in await check(Syncer)}
    assert outcomes.pop("writes")[0] == "skipped", "a syncer creates no objects"
    assert {name: found for name, found in outcomes.items() if found[0] != "ok"} == {}
