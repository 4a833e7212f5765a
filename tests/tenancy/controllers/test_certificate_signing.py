"""Approved requests become certificates, bad ones fail, and old ones go."""

from __future__ import annotations

from base64 import b64decode, b64encode
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509

from tenantry.apiserver.authentication.cluster_authority import ClusterAuthority, cluster_of
from tenantry.http.certificates import CertificateAuthority
from tenantry.kube.objects import Object
from tenantry.kube.types.certificate_signing_request import has_condition
from tenantry.tenancy.controllers.certificate_request_expiry import CertificateRequestExpiry, is_over
from tests.support.clusters import CLUSTER, ServedCluster
from tests.support.people import MASTER
from tests.support.requests_for_certificates import condition, request, signing_request

CSRS = "certificatesigningrequests"
PLATFORM = CertificateAuthority.create()
AUTHORITY = ClusterAuthority(PLATFORM)
HOUR = 3600.0
NOW = datetime(2026, 1, 2, tzinfo=UTC).timestamp()


async def approve(shard: ServedCluster, name: str, *conditions: Object) -> None:
    patch = {"status": {"conditions": [*conditions] or [condition("Approved")]}}
    path = shard.url(CSRS, name, "") + "/approval"
    status, answer = await shard.call("PATCH", path, MASTER, patch, content_type="application/merge-patch+json")
    assert status == 200, answer


def found(shard: ServedCluster, name: str) -> Object:
    obj = shard.find("certificatesigningrequests.certificates.k8s.io", name, "")
    assert obj is not None
    return obj


async def test_an_approved_request_gets_a_certificate_of_its_cluster() -> None:
    async with ServedCluster(signer=AUTHORITY) as shard:
        await shard.post(CSRS, signing_request("x", expirationSeconds=3600), "")
        await shard.idle()
        assert found(shard, "x")["status"] == {}
        await approve(shard, "x")
        await shard.until(lambda: found(shard, "x")["status"].get("certificate"))
        made = x509.load_pem_x509_certificate(b64decode(found(shard, "x")["status"]["certificate"]))
        assert cluster_of(made) == CLUSTER
        assert (made.not_valid_after_utc - made.not_valid_before_utc).total_seconds() == 3900
        first = found(shard, "x")
        await approve(shard, "x", condition("Approved", reason="again"))
        await shard.idle()
        assert found(shard, "x")["status"]["certificate"] == first["status"]["certificate"]


@pytest.mark.parametrize(
    ("spec", "pem", "text"),
    [
        ({"usages": ["client auth", "server auth"]}, b"", "invalid usage for client certificate: server auth"),
        ({"usages": ["digital signature"]}, b"", "missing required usage for client certificate: client auth"),
        ({}, request("system:node:x"), "the user system:node:x is one of the system's, and gets no certificate of a workspace"),
        (
            {},
            request("x", ["system:kcp:admin"]),
            "the group system:kcp:admin is one of the system's, and is in no certificate of a workspace",
        ),
    ],
)
async def test_what_is_not_signed_fails(spec: Any, pem: bytes, text: str) -> None:
    async with ServedCluster(signer=AUTHORITY) as shard:
        await shard.post(CSRS, signing_request("x", pem, **spec), "")
        await approve(shard, "x")
        await shard.until(lambda: has_condition(found(shard, "x"), "Failed"))
        status = found(shard, "x")["status"]
        failed = status["conditions"][-1]
        assert "certificate" not in status
        assert (failed["type"], failed["status"], failed["reason"], failed["message"]) == (
            "Failed",
            "True",
            "SignerValidationFailure",
            text,
        )
        assert failed["lastUpdateTime"] and failed["lastTransitionTime"]


async def test_what_waits_for_others() -> None:
    async with ServedCluster(signer=AUTHORITY) as shard:
        for name, signer in (("kubelet", "kubernetes.io/kubelet-serving"), ("own", "example.com/signer")):
            await shard.post(CSRS, signing_request(name, signerName=signer), "")
            await approve(shard, name)
        await shard.post(CSRS, signing_request("denied"), "")
        await approve(shard, "denied", condition("Denied"))
        await shard.idle()
        for name in ("kubelet", "own", "denied"):
            status = found(shard, name)["status"]
            assert "certificate" not in status and len(status["conditions"]) == 1


def at(seconds_ago: float) -> str:
    return datetime.fromtimestamp(NOW - seconds_ago, UTC).isoformat().replace("+00:00", "Z")


def old(created: float, *conditions: Object, certificate: str = "") -> Object:
    status: Object = {"conditions": [*conditions]} if conditions else {}
    if certificate:
        status["certificate"] = certificate
    return {"metadata": {"creationTimestamp": at(created)}, "status": status}


ISSUED = b64encode(PLATFORM.issue_client("x").certificate).decode()
EXPIRED = b64encode(
    CertificateAuthority.create(now=lambda: datetime(2010, 1, 1, tzinfo=UTC)).issue_client("x").certificate
).decode()


@pytest.mark.parametrize(
    ("obj", "over"),
    [
        (old(23 * HOUR), False),
        (old(25 * HOUR), True),
        (old(0, condition("Approved", lastUpdateTime=at(2 * HOUR))), False),
        (old(0, condition("Approved", lastUpdateTime=at(25 * HOUR))), True),
        (old(0, condition("Approved", lastUpdateTime=at(0.5 * HOUR)), certificate=ISSUED), False),
        (old(0, condition("Approved", lastUpdateTime=at(2 * HOUR)), certificate=ISSUED), True),
        (old(0, condition("Approved", lastUpdateTime=at(0)), certificate=EXPIRED), True),
        (old(0, condition("Approved", lastUpdateTime=at(0)), certificate="YQ=="), False),
        (old(0, condition("Denied", lastUpdateTime=at(0.5 * HOUR))), False),
        (old(0, condition("Denied", lastUpdateTime=at(2 * HOUR))), True),
        (old(0, condition("Failed", lastUpdateTime=at(2 * HOUR))), True),
        (old(99 * HOUR, condition("Other", lastUpdateTime=at(99 * HOUR))), False),
    ],
)
def test_when_the_time_of_a_request_is_over(obj: Object, over: bool) -> None:
    assert is_over(obj, NOW) is over


async def test_old_requests_go() -> None:
    async with ServedCluster(signer=AUTHORITY) as shard:
        now = datetime.now(UTC).timestamp()
        for name in ("pending", "approved"):
            await shard.post(CSRS, signing_request(name), "")
        await approve(shard, "approved")
        await shard.until(lambda: found(shard, "approved")["status"].get("certificate"))
        moments = [now + 60]
        expiry = CertificateRequestExpiry(cell=shard.cell, scopes=shard.tenancy.scopes, now=lambda: moments[-1])
        assert await expiry.sweep() == 0
        moments.append(now + 2 * HOUR)
        assert await expiry.sweep() == 1
        await shard.gone(f"{CSRS}.certificates.k8s.io", "approved", "")
        moments.append(now + 25 * HOUR)
        assert await expiry.sweep() == 1
        await shard.gone(f"{CSRS}.certificates.k8s.io", "pending", "")
