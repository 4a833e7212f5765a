"""The controller of ValidatingAdmissionPolicies: it checks the types of their expressions, and writes what it found into their
statuses (Kubernetes' controller validatingadmissionpolicy-status)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from tenantry.apiserver import local_client
from tenantry.apiserver.verbs.managers import reset_fields
from tenantry.apiserver.worker_threads import workers
from tenantry.controllers.object_controller import ObjectController
from tenantry.kube.admission.type_checking import params_type, types_of, warnings_of
from tenantry.kube.api_set import ApiSet
from tenantry.kube.apply.server_side import apply
from tenantry.kube.decode import of_its_type
from tenantry.kube.objects import Object, timestamp
from tenantry.kube.types.validating_admission_policy import POLICIES
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.tenancy.cluster_apis import ClusterApis
from tenantry.tenancy.cluster_scope import ClusterScopes
from tenantry.tenancy.resources import VALIDATING_ADMISSION_POLICIES

MANAGER = "validatingadmissionpolicy-status"


class PolicyTypeCheckController(ObjectController):
    """Checks a policy once for each generation, in a thread."""

    name = "policy-type-checks"
    workers = 2
    """As many as threads: long policies of one cluster leave one of them to the others."""

    def __init__(self, *, apis: ClusterApis, scopes: ClusterScopes) -> None:
        self._apis = apis
        self._scopes = scopes

    @property
    def resources(self) -> Sequence[str] | None:
        return (VALIDATING_ADMISSION_POLICIES,)

    async def reconcile(self, range_: Range, key: Key) -> None:
        record = range_.get(key)
        if record is None or record.head.deleting:
            return
        apis = await self._apis.read(key.cluster)
        status = await workers.run(key.cluster, partial(_checked, record.value, apis))
        if status is None:
            return
        generation = status["observedGeneration"]

        def applied(policy: Object) -> Object | None:
            if policy["metadata"].get("generation") != generation:
                return None
            api_version = POLICIES.api_version("v1")
            config = {
                "apiVersion": api_version,
                "kind": POLICIES.kind,
                "metadata": {"name": key.name},
                "status": status,
            }
            shape = POLICIES.versions["v1"]
            return apply(
                policy,
                config,
                manager=MANAGER,
                force=True,
                api_version=api_version,
                schema=shape.schema,
                subresource="status",
                now=timestamp(),
                reset_fields=reset_fields(POLICIES, shape, "status"),
            )

        await local_client.update(
            self._scopes.cluster(key.cluster), POLICIES, "", key.name, applied, subresource="status", manager=""
        )


def _checked(value: bytes, apis: ApiSet) -> Object | None:
    """The part of the status that this controller owns; None where the policy was checked already."""
    policy = of_its_type(value, POLICIES)
    if policy is None:
        return None
    generation = policy["metadata"].get("generation", 0)
    if generation <= (policy.get("status") or {}).get("observedGeneration", 0):
        return None
    spec = policy.get("spec") or {}
    warnings = warnings_of(spec, types_of(spec, apis), params_type(spec, apis))
    return {"observedGeneration": generation, "typeChecking": {"expressionWarnings": warnings} if warnings else {}}
