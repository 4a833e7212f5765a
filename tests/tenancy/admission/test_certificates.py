"""Who approves, signs and vouches, with the texts of a recorded kube-apiserver."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from tenantry.apiserver.user import User
from tenantry.http.certificates import CertificateAuthority
from tenantry.kube.objects import Object
from tests.support.clusters import CLUSTER, RBAC, ServedCluster
from tests.support.requests_for_certificates import condition, request, signing_request

CSRS, BUNDLES, PODS = "certificatesigningrequests", "clustertrustbundles", "podcertificaterequests"
EVE = User("eve", ("system:authenticated",))
SIGNER = "example.com/signer"
PEM = CertificateAuthority.create().certificate


def rule(verbs: str, resources: str, group: str = "certificates.k8s.io", *names: str) -> Object:
    made: Object = {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split()}
    return made | ({"resourceNames": list(names)} if names else {})


async def grant(shard: ServedCluster, name: str, *rules: Object) -> None:
    """Gives eve these rules."""
    await shard.post("clusterroles", {"metadata": {"name": name}, "rules": list(rules)}, "")
    subject = {"apiGroup": RBAC, "kind": "User", "name": "eve"}
    reference = {"apiGroup": RBAC, "kind": "ClusterRole", "name": name}
    await shard.post("clusterrolebindings", {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}, "")


async def with_access(shard: ServedCluster) -> None:
    every = f"{CSRS} {CSRS}/approval {CSRS}/status {BUNDLES} {PODS} {PODS}/status"
    await grant(shard, "all", rule("*", every), {"nonResourceURLs": ["/"], "verbs": ["access"]})


async def write(
    shard: ServedCluster, plural: str, name: str, patch: Object, sub: str = "", namespace: str = ""
) -> tuple[int, Any]:
    path = shard.url(plural, name, namespace) + (f"/{sub}" if sub else "")
    return await shard.call("PATCH", path, EVE, patch, content_type="application/merge-patch+json")


def bundle(name: str, signer: str) -> Object:
    return {"metadata": {"name": name}, "spec": {"signerName": signer, "trustBundle": PEM.decode()}}


APPROVE = {"status": {"conditions": [condition("Approved")]}}
ISSUE = {"status": {"certificate": b64encode(PEM).decode()}}


@pytest.mark.parametrize("name", [SIGNER, "example.com/*"])
async def test_signers_are_permissions(name: str) -> None:
    async with ServedCluster() as shard:
        await with_access(shard)
        await shard.post(CSRS, signing_request("x", signerName=SIGNER), "")
        await shard.post(BUNDLES, bundle("example.com:signer:y", SIGNER), "")
        where = 'certificatesigningrequests.certificates.k8s.io "x" is forbidden: user not permitted to'
        for patch, sub, verb in ((APPROVE, "approval", "approve"), (ISSUE, "status", "sign")):
            status, answer = await write(shard, CSRS, "x", patch, sub)
            assert (status, answer["message"]) == (403, f'{where} {verb} requests with signerName "{SIGNER}"')
        # What changes nothing of the status is no signing, but any approval is one.
        assert (await write(shard, CSRS, "x", {"metadata": {"labels": {"a": "b"}}}, "status"))[0] == 200
        assert (await write(shard, CSRS, "x", {}, "approval"))[0] == 403
        status, answer = await write(shard, BUNDLES, "example.com:signer:y", {"metadata": {"labels": {"a": "b"}}})
        assert (status, answer["message"].partition("user ")[2]) == (403, f'not permitted to attest for signerName "{SIGNER}"')
        assert (await write(shard, BUNDLES, "example.com:signer:y", {"metadata": {"finalizers": ["a.b/c"]}}))[0] == 200

        await grant(shard, "signer", rule("approve sign attest", "signers", "certificates.k8s.io", name))
        for patch, sub in ((APPROVE, "approval"), (ISSUE, "status")):
            assert (await write(shard, CSRS, "x", patch, sub))[0] == 200
        assert (await write(shard, BUNDLES, "example.com:signer:y", {"metadata": {"labels": {"a": "b"}}}))[0] == 200
        await shard.post(CSRS, signing_request("other", signerName="example.org/signer"), "")
        assert (await write(shard, CSRS, "other", APPROVE, "approval"))[0] == 403


async def test_no_certificate_for_system_masters() -> None:
    async with ServedCluster() as shard:
        pem = request("x", ["system:masters"])
        status, message = await shard.refused(CSRS, signing_request("x", pem), "")
        assert status == 403
        assert message.endswith("use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed")
        await shard.post(CSRS, signing_request("x", pem, signerName=SIGNER), "")


async def test_requesters_are_stamped_and_cannot_be_forged() -> None:
    async with ServedCluster() as shard:
        await with_access(shard)
        forged = signing_request("x", signerName=SIGNER, username="admin", groups=["system:masters"], extra={"a": ["b"]})
        made = await shard.post(CSRS, forged, "", EVE)
        assert (made["spec"]["username"], made["spec"]["groups"]) == ("eve", ["system:authenticated"])
        assert "extra" not in made["spec"] and "managedFields" not in made["metadata"]
        status, changed = await write(shard, CSRS, "x", {"spec": {"username": "admin", "usages": ["any"]}})
        assert (status, changed["spec"]) == (200, made["spec"])


async def test_who_answers_a_pod() -> None:
    async with ServedCluster() as shard:
        await with_access(shard)
        spec = {"signerName": SIGNER, "podName": "p", "podUID": "1", "serviceAccountName": "s", "serviceAccountUID": "2"}
        der = request_der()
        await shard.post(
            PODS, {"metadata": {"name": "x"}, "spec": spec | {"nodeName": "n", "nodeUID": "3", "stubPKCS10Request": der}}
        )
        since = {"lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "R", "message": "m"}
        deny = {"status": {"conditions": [condition("Denied", **since)]}}
        status, answer = await write(shard, PODS, "x", deny, "status", "default")
        assert status == 422
        assert answer["message"].endswith(
            f'spec.signerName: Forbidden: User "eve" is not permitted to "sign" for signer "{SIGNER}"'
        )
        await grant(shard, "signer", rule("sign", "signers", "certificates.k8s.io", SIGNER))
        assert (await write(shard, PODS, "x", deny, "status", "default"))[0] == 200


def request_der() -> str:
    from tenantry.kube.pem import first_block

    block = first_block(request())
    assert block is not None
    return b64encode(block.data).decode()


async def test_a_type_of_that_name_in_another_cluster_is_not_meant() -> None:
    async with ServedCluster() as shard:
        assert shard.get(CLUSTER, "certificates.k8s.io/certificatesigningrequests", "x") is None
