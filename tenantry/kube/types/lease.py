"""Leases, the objects of leader election. A PUT creates them."""

from __future__ import annotations

from tenantry.kube.columns import AGE, NAME, column
from tenantry.kube.definition import ResourceDefinition, Strategy, Version
from tenantry.kube.field_errors import invalid
from tenantry.kube.message_tables import kind, message
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError

_REF = "io.k8s.api.coordination.v1."
SPEC = message(
    _REF + "LeaseSpec",
    """
    1 holderIdentity       *string
    2 leaseDurationSeconds *int32
    3 acquireTime          *MicroTime
    4 renewTime            *MicroTime
    5 leaseTransitions     *int32
    6 strategy             *string(v1.CoordinatedLeaseStrategy)
    7 preferredHolder      *string
    """,
)
MESSAGE = kind(_REF + "Lease", "2 spec LeaseSpec", SPEC)


class LeaseStrategy(Strategy):
    create_on_update = True
    bare_finalizers = True
    unconditional_update = False

    def prepare_for_create(self, obj: Object) -> None:
        _drop_gated(obj)

    def prepare_for_update(self, obj: Object, old: Object, subresource: str) -> None:
        _drop_gated(obj)

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        spec = obj.get("spec") or {}
        errors = []
        duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
        if duration is not None and duration <= 0:
            errors.append(invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"))
        if transitions is not None and transitions < 0:
            errors.append(invalid("spec.leaseTransitions", transitions, "must be greater than or equal to 0"))
        return errors


def _drop_gated(obj: Object) -> None:
    """Coordinated leader election is off by default upstream, so its fields are dropped."""
    spec = obj.get("spec")
    if spec:
        spec.pop("strategy", None)
        spec.pop("preferredHolder", None)


DEFINITION = ResourceDefinition(
    group="coordination.k8s.io",
    plural="leases",
    singular="lease",
    kind="Lease",
    list_kind="LeaseList",
    namespaced=True,
    versions={
        "v1": Version(
            name="v1",
            schema=MESSAGE.schema,
            message=MESSAGE,
            columns=(
                NAME,
                column(
                    "Holder",
                    "holderIdentity contains the identity of the holder of a current lease. If Coordinated Leader Election is "
                    "used, the holder identity must be equal to the elected LeaseCandidate.metadata.name field.",
                    lambda obj: (obj.get("spec") or {}).get("holderIdentity") or "",
                ),
                AGE,
            ),
        )
    },
    storage_version="v1",
    strategy=LeaseStrategy(),
)
