"""Signs approved CertificateSigningRequests for the API server itself (kube-controller-manager's csrsigning controller).

Only the signer `kubernetes.io/kube-apiserver-client` is there. Requests to the signers of kubelets wait for a signer of
the tenant: there are no nodes here.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence

from tenantry.apiserver import local_client
from tenantry.apiserver.authentication.cluster_authority import ClusterAuthority, Refused
from tenantry.apiserver.worker_threads import workers
from tenantry.controllers.object_controller import ObjectController
from tenantry.kube.certificates import BadRequest, check_signature, parse_request
from tenantry.kube.decode import of_its_type
from tenantry.kube.objects import Object
from tenantry.kube.types.certificate_signing_request import (
    APPROVED,
    CLIENT_SIGNER,
    DEFINITION,
    DENIED,
    FAILED,
    has_condition,
)
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Record, RecordEvent
from tenantry.tenancy.cluster_scope import ClusterScopes
from tenantry.tenancy.resources import CERTIFICATE_SIGNING_REQUESTS

_MARK = b'"Approved"'


class CertificateSigningController(ObjectController):
    name = "certificate-signing"

    def __init__(self, authority: ClusterAuthority, *, scopes: ClusterScopes) -> None:
        self._authority = authority
        self._scopes = scopes

    @property
    def resources(self) -> Sequence[str] | None:
        return (CERTIFICATE_SIGNING_REQUESTS,)

    def keys(self, event: RecordEvent) -> Iterable[Key]:
        return (event.key,) if event.record is not None and _may_wait(event.record) else ()

    def initial_keys(self, range_: Range) -> Iterable[Key | None]:
        return (record.key if _may_wait(record) else None for record in range_.each(CERTIFICATE_SIGNING_REQUESTS))

    async def reconcile(self, range_: Range, key: Key) -> None:
        record = range_.get(key)
        if record is None or record.head.deleting:
            return
        found = of_its_type(record.value, DEFINITION)
        if found is None or not _waits(found):
            return
        # The key of the requester may be a slow one.
        status = await workers.run(key.cluster, lambda: self._answer(found, key.cluster))

        def answered(request: Object) -> Object | None:
            if not _waits(request) or request["spec"] != found["spec"]:
                return None
            before = request.get("status") or {}
            conditions = [*before.get("conditions", ()), *status.get("conditions", ())]
            request["status"] = before | status | {"conditions": conditions}
            return request

        scope = self._scopes.cluster(key.cluster)
        await local_client.update(scope, DEFINITION, "", key.name, answered, subresource="status")

    def _answer(self, request: Object, cluster: str) -> Object:
        """What is added to the status: a certificate, or the condition Failed."""
        spec = request["spec"]
        try:
            wanted = parse_request(b64decode(spec["request"]))
            check_signature(wanted)
            pem = self._authority.sign(
                wanted, cluster, usages=spec.get("usages") or (), life_seconds=spec.get("expirationSeconds")
            )
        except (Refused, BadRequest) as error:
            failed = {"type": FAILED, "status": "True", "reason": "SignerValidationFailure", "message": str(error)}
            return {"conditions": [failed]}
        return {"certificate": b64encode(pem).decode()}


def _may_wait(record: Record) -> bool:
    return _MARK in record.value


def _waits(request: Object) -> bool:
    """Whether a request is approved, is for this signer, and has neither a certificate nor failed."""
    return (
        request["spec"].get("signerName") == CLIENT_SIGNER
        and has_condition(request, APPROVED)
        and not has_condition(request, DENIED)
        and not has_condition(request, FAILED)
        and not (request.get("status") or {}).get("certificate")
    )
