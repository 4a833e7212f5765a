"""An export on one shard and its consumers on another."""

from __future__ import annotations

from tenantry.tenancy.resources import API_BINDINGS, API_EXPORT_ENDPOINT_SLICES
from tests.support.people import MASTER, person
from tests.support.tenancies import ServedShard, claim

PROVIDER = "rprovider0000000"
CONSUMER = "900consumer00000"
SHERIFF = person("sheriff")


async def test_consumers_on_another_shard() -> None:
    async with ServedShard() as here:
        there = ServedShard(store=here.store, name="there")
        async with there:
            await here.cluster(PROVIDER, "root:provider")
            rules = [
                {"nonResourceURLs": ["/"], "verbs": ["access"]},
                {"apiGroups": ["apis.kcp.io"], "resources": ["apiexports/content"], "verbs": ["*"]},
            ]
            await here.role(PROVIDER, "sheriff", *rules)
            await here.bind_role(PROVIDER, "sheriff", "sheriff", SHERIFF.name)
            await here.export(PROVIDER, claims=[claim("", "configmaps")])
            await there.until(lambda: there.identity(PROVIDER, "cowboys"))
            await there.cluster(CONSUMER)
            await there.bind(CONSUMER, PROVIDER, "cowboys")
            base = f"/ranges/range-9/services/apiexport/{PROVIDER}/cowboys"

            def url() -> bool:
                found = here.get(PROVIDER, API_EXPORT_ENDPOINT_SLICES, "cowboys") or {}
                endpoints = (found.get("status") or {}).get("endpoints") or ()
                return [endpoint["url"].endswith(base) for endpoint in endpoints] == [True]

            await here.until(url)
            status, answer = await there.call("GET", f"{base}/clusters/*/apis/wild.west/v1/cowboys", SHERIFF)
            assert (status, answer["items"]) == (200, [])
            assert (await there.call("GET", f"{base}/clusters/*/apis/wild.west/v1/cowboys", person("nobody")))[0] == 403
            path = f"/clusters/{CONSUMER}/apis/apis.kcp.io/v1alpha2/apibindings/cowboys"
            assert (await there.call("DELETE", path, MASTER))[0] == 200
            await here.until(lambda: not url() and there.get(CONSUMER, API_BINDINGS, "cowboys") is None)
