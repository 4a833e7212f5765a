"""Who may approve, sign and vouch for what, and which certificates are not given: kube-apiserver's plugins CertificateApproval,
CertificateSigning, CertificateSubjectRestriction and ClusterTrustBundleAttest, and its check of the signers of
PodCertificateRequests.

The permission is a verb on `signers` of certificates.k8s.io, which are no objects: by the name of the signer
(`example.com/name`), or for all of a domain (`example.com/*`).
"""

from __future__ import annotations

from collections.abc import Callable

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import CREATE, UPDATE, Review
from tenantry.apiserver.authorization import Attributes, Authorizer
from tenantry.kube import field_errors
from tenantry.kube.objects import Object
from tenantry.kube.status import forbidden, invalid
from tenantry.kube.types import certificate_signing_request, cluster_trust_bundle, pod_certificate_request

_COLLECTED = frozenset({"ownerReferences", "finalizers", "managedFields", "resourceVersion"})
"""Metadata that a garbage collector may change without the permission of a signer."""


class CertificatesAdmission(Plugin):
    groups = (certificate_signing_request.GROUP,)

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer
        self._checks: dict[tuple[str, str, str], Callable[[Review, Object, Object | None], None]] = {
            (CREATE, "certificatesigningrequests", ""): _restrict_subject,
            (UPDATE, "certificatesigningrequests", "approval"): self._check_approval,
            (UPDATE, "certificatesigningrequests", "status"): self._check_signing,
            (CREATE, "clustertrustbundles", ""): self._check_attesting,
            (UPDATE, "clustertrustbundles", ""): self._check_attesting,
            (UPDATE, "podcertificaterequests", "status"): self._check_pod_signing,
        }

    def validate(self, review: Review) -> None:
        definition, obj = review.definition, review.object
        if definition.group != certificate_signing_request.GROUP or definition.custom or obj is None:
            return
        check = self._checks.get((review.operation, definition.plural, review.subresource))
        if check is not None:
            check(review, obj, review.old_object)

    def _check_approval(self, review: Review, obj: Object, old: Object | None) -> None:
        signer = _signer(old)
        if not self._may(review, "approve", signer):
            raise _refused(review, f'user not permitted to approve requests with signerName "{signer}"')

    def _check_signing(self, review: Review, obj: Object, old: Object | None) -> None:
        signer = _signer(old)
        if _signed(obj) != _signed(old) and not self._may(review, "sign", signer):
            raise _refused(review, f'user not permitted to sign requests with signerName "{signer}"')

    def _check_attesting(self, review: Review, obj: Object, old: Object | None) -> None:
        signer = cluster_trust_bundle.signer_of(obj)
        if not signer or (old is not None and _without_collected(obj) == _without_collected(old)):
            return
        if not self._may(review, "attest", signer):
            raise _refused(review, f'user not permitted to attest for signerName "{signer}"')

    def _check_pod_signing(self, review: Review, obj: Object, old: Object | None) -> None:
        signer = pod_certificate_request.signer_of(old or {})
        if (obj.get("status") or {}) == ((old or {}).get("status") or {}) or self._may(review, "sign", signer):
            return
        text = f'User "{review.user.name}" is not permitted to "sign" for signer "{signer}"'
        error = field_errors.forbidden("spec.signerName", text)
        raise invalid(review.definition.group, review.definition.kind, review.name, [error])

    def _may(self, review: Review, verb: str, signer: str) -> bool:
        domain = signer.partition("/")[0]
        return any(
            self._authorizer.authorize(
                Attributes(
                    user=review.user,
                    verb=verb,
                    cluster=review.cluster,
                    group=certificate_signing_request.GROUP,
                    version="*",
                    resource="signers",
                    name=name,
                )
            ).allowed
            for name in (signer, f"{domain}/*")
        )


def _restrict_subject(review: Review, obj: Object, old: Object | None) -> None:
    for finding in review.findings:
        raise _refused(review, finding.text)


def _refused(review: Review, why: str) -> Exception:
    return forbidden(review.definition.group_resource, review.name, why)


def _signer(request: Object | None) -> str:
    return ((request or {}).get("spec") or {}).get("signerName") or ""


def _signed(request: Object | None) -> tuple[object, object]:
    status = (request or {}).get("status") or {}
    return status.get("certificate") or "", status.get("conditions") or []


def _without_collected(obj: Object) -> Object:
    return obj | {"metadata": {key: value for key, value in obj["metadata"].items() if key not in _COLLECTED}}
