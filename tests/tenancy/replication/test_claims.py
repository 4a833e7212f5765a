"""Claims of other exports on a type with virtual storage: consumers have no objects of it to give away."""

from __future__ import annotations

from tests.support.people import MASTER
from tests.support.tenancies import accepted, claim
from tests.tenancy.replication.county import CONSUMER, PROVIDER, SHERIFFS, bound_county, sheriff


async def test_a_claim_gives_no_place_to_write() -> None:
    async with bound_county() as county:
        other = "rother0000000000"
        await county.here.cluster(other, "root:other")
        wanted = claim("wild.dev", "sheriffs", identity=county.there.identity(PROVIDER, "offices"))
        await county.here.export(other, claims=[wanted])
        await county.there.until(lambda: county.there.identity(other, "cowboys"))
        await county.there.until(lambda: county.there.tenancy.exports.schema(other, "v1.cowboys.wild.west"))
        await county.there.bind(CONSUMER, other, "cowboys", claims=[accepted(wanted)])
        view = f"/ranges/range-9/services/apiexport/{other}/cowboys/clusters"
        for path in (f"{view}/{CONSUMER}{SHERIFFS}", f"{view}/*{SHERIFFS}"):
            assert (await county.there.call("GET", path, MASTER))[0] == 404
        assert (await county.there.call("POST", f"{view}/{CONSUMER}{SHERIFFS}", MASTER, sheriff("x")))[0] == 404
        identity = county.there.identity(PROVIDER, "offices")
        assert not county.there.cell.range_of(CONSUMER).has_any(f"wild.dev/sheriffs:{identity}", CONSUMER)
        assert await county.names() == ["doc", "wyatt"]
