"""The types of certificates.k8s.io and storagemigration.k8s.io, with the texts of a recorded kube-apiserver."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from tenantry.http.certificates import CertificateAuthority
from tenantry.kube.objects import Object
from tenantry.kube.types import (
    certificate_signing_request,
    cluster_trust_bundle,
    pod_certificate_request,
    storage_version_migration,
)
from tests.kube.types.test_builtin_types import cells, created, refusals
from tests.support.requests_for_certificates import condition, key, pod_request, request, signing_request

CSR = certificate_signing_request.DEFINITION
BUNDLE = cluster_trust_bundle.DEFINITION
POD = pod_certificate_request.DEFINITION
MIGRATION = storage_version_migration.DEFINITION
AUTHORITY = CertificateAuthority.create().certificate
CERTIFICATE = b64encode(AUTHORITY).decode()
USAGES = ", ".join(f'"{usage}"' for usage in certificate_signing_request.USAGES)
LEGACY = (
    'spec.signerName: Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is not allowed via this API version'
)
SINCE = "2026-01-01T00:00:00Z"


def updated(old: Object, subresource: str, **status: Any) -> tuple[Object, list[str]]:
    """The request after a write of its status, and what is wrong with it."""
    new: Object = {**old, "status": status}
    CSR.strategy.prepare_for_update(new, old, subresource)
    return new, [error.message for error in CSR.strategy.validate(new, old, subresource)]


def test_a_request_is_stamped_with_its_requester() -> None:
    obj = created(CSR, signing_request("x", username="eve", uid="1", groups=["system:masters"], extra={"a": ["b"]}))
    CSR.strategy.note_requester(obj, {"username": "ada", "groups": ["devs"]})
    assert {name: obj["spec"].get(name) for name in ("username", "uid", "groups", "extra")} == {
        "username": "ada",
        "uid": None,
        "groups": ["devs"],
        "extra": None,
    }
    assert obj["status"] == {}


@pytest.mark.parametrize(
    ("spec", "texts"),
    [
        ({}, []),
        (
            {"usages": ["frob"]},
            [
                'spec.usages[0]: Unsupported value: "frob": supported values: ' + USAGES,
            ],
        ),
        ({"usages": []}, ["spec.usages: Required value"]),
        ({"usages": ["any", "any"]}, ['spec.usages[1]: Duplicate value: "any"']),
        (
            {"signerName": "kubernetes.io/legacy-unknown"},
            [
                LEGACY,
            ],
        ),
        (
            {"expirationSeconds": 599},
            ["spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)"],
        ),
        ({"expirationSeconds": 600}, []),
        ({"request": None}, ["spec.request: Invalid value: null: PEM block type must be CERTIFICATE REQUEST"]),
    ],
)
def test_requests(spec: Object, texts: list[str]) -> None:
    assert refusals(CSR, signing_request("x", **spec)) == texts


def test_only_the_approval_decides_and_only_the_status_issues() -> None:
    old = created(CSR, signing_request("x"))
    approved, errors = updated(old, "approval", conditions=[condition("Approved")], certificate=CERTIFICATE)
    assert errors == [] and "certificate" not in approved["status"]
    assert approved["status"]["conditions"][0]["lastUpdateTime"] == approved["status"]["conditions"][0]["lastTransitionTime"]
    _, errors = updated(old, "status", conditions=[condition("Approved")])
    assert errors == ['status.conditions: Forbidden: updates may not add a condition of type "Approved"']
    kept, errors = updated(approved, "status", conditions=[condition("Approved", reason="other")], certificate=CERTIFICATE)
    assert errors == [] and kept["status"]["conditions"] == approved["status"]["conditions"]
    assert kept["status"]["certificate"] == CERTIFICATE
    _, errors = updated(kept, "status", conditions=kept["status"]["conditions"])
    assert errors == ["status.certificate: Forbidden: updates may not modify existing certificate content"]
    _, errors = updated(approved, "approval", conditions=[])
    assert errors == ['status.conditions: Forbidden: updates may not remove a condition of type "Approved"']
    plain, errors = updated(approved, "", conditions=[])
    assert errors == [] and plain["status"] == approved["status"]


@pytest.mark.parametrize(
    ("conditions", "text"),
    [
        ([condition("Approved", "False")], 'status.conditions[0].status: Unsupported value: "False": supported values: "True"'),
        (
            [condition("Odd", "x")],
            'status.conditions[0].status: Unsupported value: "x": supported values: "False", "True", "Unknown"',
        ),
        ([{"type": "Failed"}], "status.conditions[0].status: Required value"),
        ([condition("")], "status.conditions[0].type: Required value"),
        ([condition("A"), condition("A")], 'status.conditions[1].type: Duplicate value: "A"'),
    ],
)
def test_conditions(conditions: list[Object], text: str) -> None:
    assert updated(created(CSR, signing_request("x")), "approval", conditions=conditions)[1] == [text]


def test_a_request_is_not_both_approved_and_denied() -> None:
    _, errors = updated(created(CSR, signing_request("x")), "approval", conditions=[condition("Denied"), condition("Approved")])
    (error,) = errors
    assert error.endswith('must specify at most one of: `conditions[{"type": "Approved"}]`, `conditions[{"type": "Denied"}]`')


def test_times_of_conditions_are_kept() -> None:
    old = created(CSR, signing_request("x")) | {
        "status": {"conditions": [condition("A", lastTransitionTime=SINCE, lastUpdateTime=SINCE)]}
    }
    new, _ = updated(old, "approval", conditions=[condition("A"), condition("B", lastUpdateTime=SINCE)])
    first, second = new["status"]["conditions"]
    assert first["lastTransitionTime"] == SINCE != first["lastUpdateTime"]
    assert second["lastUpdateTime"] == SINCE != second["lastTransitionTime"]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({}, "Pending"),
        ({"conditions": [condition("Approved")]}, "Approved"),
        ({"conditions": [condition("Approved")], "certificate": "YQ=="}, "Approved,Issued"),
        ({"conditions": [condition("Approved"), condition("Failed")]}, "Approved,Failed"),
        ({"conditions": [condition("Denied"), condition("Approved")]}, "Denied"),
    ],
)
def test_cells_of_requests(status: Object, state: str) -> None:
    obj = signing_request("x", expirationSeconds=3600, username="ada") | {"status": status}
    assert cells(CSR, obj)[2:] == ["kubernetes.io/kube-apiserver-client", "ada", "60m", state]


def bundle(name: str = "x", signer: str = "", text: str = AUTHORITY.decode()) -> Object:
    return {"metadata": {"name": name}, "spec": {"trustBundle": text} | ({"signerName": signer} if signer else {})}


@pytest.mark.parametrize(
    ("obj", "texts"),
    [
        (bundle(), []),
        (bundle("a.b:c:d", "a.b/c"), []),
        (bundle(text=f"text\n{AUTHORITY.decode()}text"), []),
        (
            bundle("a:b"),
            ['metadata.name: Invalid value: "a:b": ClusterTrustBundle without signer name must not have ":" in its name'],
        ),
        (
            bundle("x", "a.b/c"),
            ['metadata.name: Invalid value: "x": ClusterTrustBundle for signerName a.b/c must be named with prefix a.b:c:'],
        ),
        (bundle(text=""), ['spec.trustBundle: Invalid value: "<value omitted>": at least one trust anchor must be provided']),
        (
            bundle(text=AUTHORITY.decode() * 2),
            ['spec.trustBundle: Invalid value: "<value omitted>": duplicate trust anchor (indices [0 1])'],
        ),
        (
            bundle(text=request().decode()),
            ['spec.trustBundle: Invalid value: "<value omitted>": entry 0 has bad block type: CERTIFICATE REQUEST'],
        ),
        (bundle(text="x" * ((1 << 20) + 1)), ["spec.trustBundle: Too long: may not be more than 1048576 bytes"]),
    ],
)
def test_trust_bundles(obj: Object, texts: list[str]) -> None:
    assert refusals(BUNDLE, obj) == texts


def test_a_trust_bundle_holds_authorities_of_one_signer() -> None:
    leaf = CertificateAuthority.create().issue_client("x").certificate.decode()
    assert refusals(BUNDLE, bundle(text=leaf)) == [
        'spec.trustBundle: Invalid value: "<value omitted>": entry 0 does not have the CA bit set'
    ]
    old = bundle("a.b:c:d", "a.b/c")
    assert refusals(BUNDLE, bundle("a.b:c:d", "a.b/e"), old)[-1] == 'spec.signerName: Invalid value: "a.b/e": field is immutable'
    # What is stored is not read again.
    assert refusals(BUNDLE, bundle(text="x"), bundle(text="x")) == []


def der_of(private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(private, hashes.SHA256())
    return b64encode(made.public_bytes(Encoding.DER)).decode()


@pytest.mark.parametrize(
    ("spec", "texts"),
    [
        ({}, []),
        (
            {"maxExpirationSeconds": 3599},
            ["spec.maxExpirationSeconds: Invalid value: 3599: must be in the range [3600, 7862400]"],
        ),
        (
            {"signerName": "x.kubernetes.io/y", "maxExpirationSeconds": 86401},
            ["spec.maxExpirationSeconds: Invalid value: 86401: must be in the range [3600, 86400]"],
        ),
        ({"nodeUID": ""}, ['spec.nodeUID: Invalid value: "": must not be empty']),
        ({"podUID": "u" * 129}, ["spec.podUID: Too long: may not be more than 128 bytes"]),
        (
            {"stubPKCS10Request": ""},
            ["spec: Invalid value: exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set"],
        ),
        ({"stubPKCS10Request": "YWJj"}, ["spec.stubPKCS10Request: Invalid value: must be a valid PKCS#10 CSR"]),
        (
            {"stubPKCS10Request": der_of(ec.generate_private_key(ec.SECP224R1()))},
            ['spec.stubPKCS10Request: Invalid value: "curve P-224": elliptic public keys must use curve P256, P384, or P521'],
        ),
        (
            {"stubPKCS10Request": der_of(rsa.generate_private_key(public_exponent=65537, key_size=2048))},
            ['spec.stubPKCS10Request: Invalid value: "2048-bit modulus": RSA keys must have modulus size 3072 or 4096'],
        ),
        (
            {"unverifiedUserAnnotations": {"a": "b"}},
            ['spec.unverifiedUserAnnotations: Invalid value: "a": must be a domain-prefixed key (such as "acme.io/foo")'],
        ),
    ],
)
def test_pod_certificate_requests(spec: Object, texts: list[str]) -> None:
    assert refusals(POD, pod_request(**spec)) == texts


def issued(life: timedelta = timedelta(hours=2), **more: Any) -> Object:
    """A status with a certificate for the key of `pod_request`."""
    now = datetime.now(UTC).replace(microsecond=0)
    name = x509.Name([])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key().public_key()).serial_number(1)
    made = builder.not_valid_before(now).not_valid_after(now + life).sign(key(), hashes.SHA256())
    shown = lambda moment: moment.isoformat().replace("+00:00", "Z")  # noqa: E731
    return {
        "conditions": [condition("Issued", reason="R", message="m", lastTransitionTime=SINCE)],
        "certificateChain": made.public_bytes(Encoding.PEM).decode(),
        "notBefore": shown(now),
        "notAfter": shown(now + life),
        "beginRefreshAt": shown(now + life / 2),
    } | more


@pytest.mark.parametrize(
    ("status", "path"),
    [
        (issued(), None),
        (issued(timedelta(minutes=59)), "status.certificateChain"),
        (issued(timedelta(days=2)), "status.certificateChain"),
        (issued(notBefore=SINCE), "status.notBefore"),
        (issued(notAfter=SINCE), "status.notAfter"),
        (issued(beginRefreshAt=SINCE), "status.beginRefreshAt"),
        (issued(beginRefreshAt=None), "status.beginRefreshAt"),
        (issued(certificateChain=AUTHORITY.decode()), "status.certificateChain"),
        (issued(certificateChain="x"), "status.certificateChain"),
        (issued(conditions=[condition("Denied", reason="R", message="", lastTransitionTime=SINCE)]), "status"),
        (issued(conditions=[]), "status"),
        (issued(conditions=[condition("Odd", reason="R", message="", lastTransitionTime=SINCE)]), "status.conditions.[0].type"),
        (
            issued(conditions=[condition("Issued", reason="a b", message="", lastTransitionTime=SINCE)]),
            "status.conditions[0].reason",
        ),
    ],
)
def test_what_is_issued_has_to_fit(status: Object, path: str | None) -> None:
    old = created(POD, pod_request())
    errors = POD.strategy.validate(old | {"status": status}, old, "status")
    assert [error.field for error in errors] == ([path] if path else [])
    done = old | {"status": issued()}
    changed = done | {"status": done["status"] | {"beginRefreshAt": SINCE}}
    (error,) = POD.strategy.validate(changed, done, "status")
    assert error.message == "status: Invalid value: immutable after PodCertificateRequest is issued, denied, or failed"


def test_a_status_endpoint_keeps_the_rest() -> None:
    for definition in (POD, MIGRATION):
        old: Object = {"metadata": {"name": "x", "labels": {"a": "b"}}, "spec": {"podName": "p"}, "status": {}}
        new: Object = {"metadata": {"name": "x", "labels": {"c": "d"}, "annotations": {"e": "f"}}, "spec": {}, "status": {"x": 1}}
        definition.strategy.prepare_for_update(new, old, "status")
        assert new == {"metadata": {"name": "x", "labels": {"a": "b"}}, "spec": {"podName": "p"}, "status": {"x": 1}}
        definition.strategy.prepare_for_update(new, old, "")
        assert new["status"] == {}


def migration(plural: str = "configmaps", group: str = "", **status: Any) -> Object:
    return {"spec": {"resource": {"group": group, "resource": plural}}, "status": status}


def test_migrations() -> None:
    assert refusals(MIGRATION, migration()) == []
    assert refusals(MIGRATION, migration("")) == ["spec.resource.resource: Required value: resource is required to be set"]
    assert [message.partition(" Invalid")[0] for message in refusals(MIGRATION, migration("A", "B_"))] == [
        "spec.resource.resource:",
        "spec.resource.group:",
    ]
    text = 'spec: Invalid value: {"Resource":{"group":"","resource":"x"}}: field is immutable'
    assert refusals(MIGRATION, migration("x"), migration()) == [text]
    assert cells(MIGRATION, {"metadata": {"name": "m"}} | migration("a", "b")) == ["m", "a.b", "Unknown"]


@pytest.mark.parametrize(
    ("old", "new", "end"),
    [
        ({}, {"resourceVersion": "5"}, None),
        ({}, {"resourceVersion": "x"}, "resource version is not well formed: x"),
        ({"resourceVersion": "5"}, {"resourceVersion": "6"}, "field is immutable"),
        ({"conditions": ["Succeeded"]}, {"conditions": []}, "Success condition cannot be set to false once it is true"),
        ({"conditions": ["Failed"]}, {}, "Failed condition cannot be set to false once it is true"),
        ({}, {"conditions": ["Failed", "Succeeded"]}, "Both success and failed conditions cannot be true at the same time"),
    ],
)
def test_what_a_migration_came_to_stays(old: Object, new: Object, end: str | None) -> None:
    def status(of: Object) -> Object:
        made = [condition(name, reason="R", message="", lastTransitionTime=SINCE) for name in of.get("conditions", ())]
        return of | ({"conditions": made} if "conditions" in of else {})

    errors = refusals(MIGRATION, migration(**status(new)), migration(**status(old)), "status")
    assert [error.rpartition(": ")[2] for error in errors] == ([end.rpartition(": ")[2]] if end else [])
