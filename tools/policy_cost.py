"""What validating admission policies cost a write: the same writes with and without them, in turns, on a shard in memory.

    python -m tools.policy_cost [WRITES]

Prints microseconds of processor time for each dry run of a create of a ConfigMap: without policies, with a policy of three
expressions that is about other types, and with one that is about ConfigMaps. Best of ten rounds in turns.
"""

from __future__ import annotations

import asyncio
import sys
import time

from tenantry.kube.objects import Object
from tests.support.clusters import CLUSTER, ServedCluster, config_map
from tests.support.people import MASTER

GROUP = "admissionregistration.k8s.io"
OTHER = "rother0000000000"
ROUNDS = 10
EXPRESSIONS = (
    "object.metadata.name.startsWith('x')",
    "!has(object.data) || object.data.all(key, size(key) < 64)",
    "request.operation != 'UPDATE' || oldObject.metadata.name == object.metadata.name",
)


def policy(resource: str) -> tuple[Object, Object]:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": [resource]}
    constraints = {"resourceRules": [rule]}
    spec = {"matchConstraints": constraints, "validations": [{"expression": each} for each in EXPRESSIONS]}
    name = {"metadata": {"name": "three"}}
    return {**name, "spec": spec}, {**name, "spec": {"policyName": "three", "validationActions": ["Deny"]}}


async def install(shard: ServedCluster, cluster: str, resource: str) -> None:
    for kind, plural, obj in zip(
        ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
        ("validatingadmissionpolicies", "validatingadmissionpolicybindings"),
        policy(resource),
        strict=True,
    ):
        body = {"apiVersion": f"{GROUP}/v1", "kind": kind, **obj}
        status, answer = await shard.call("POST", f"/clusters/{cluster}/apis/{GROUP}/v1/{plural}", MASTER, body)
        assert status == 201, answer


async def measure(shard: ServedCluster, cluster: str, writes: int) -> float:
    body = {**config_map("x"), "data": {"one": "1", "two": "2"}}
    path = f"/clusters/{cluster}/api/v1/namespaces/default/configmaps"
    began = time.process_time()
    for _ in range(writes):
        status, answer = await shard.call("POST", path, MASTER, body, "dryRun=All")
        assert status == 201, answer
    return (time.process_time() - began) / writes * 1e6


async def main(writes: int) -> None:
    async with ServedCluster() as shard:
        clusters = {"without policies": CLUSTER, "about other types": OTHER, "about ConfigMaps": "rthird0000000000"}
        for cluster in (OTHER, clusters["about ConfigMaps"]):
            await shard.cluster(cluster)
            await shard.namespace(cluster, "default")
        await install(shard, OTHER, "secrets")
        await install(shard, clusters["about ConfigMaps"], "configmaps")
        best = dict.fromkeys(clusters, float("inf"))
        for _ in range(ROUNDS):
            for label, cluster in clusters.items():
                best[label] = min(best[label], await measure(shard, cluster, writes))
        base = best["without policies"]
        for label, microseconds in best.items():
            print(f"{label:20} {microseconds:8.1f} µs   {microseconds - base:+6.1f} µs")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000))
