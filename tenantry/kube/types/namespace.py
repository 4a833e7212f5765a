"""Namespaces. They have a life cycle of their own, with finalizers in the spec and a phase in the status."""

from __future__ import annotations

from tenantry.kube.columns import AGE, NAME, column
from tenantry.kube.definition import STANDARD_VERBS, ResourceDefinition, Strategy, Version
from tenantry.kube.field_errors import invalid
from tenantry.kube.finalizers import finalizer_errors
from tenantry.kube.message_tables import kind, message
from tenantry.kube.names import dns1123_label_errors
from tenantry.kube.objects import Object, is_deleting, metadata_of, name_of
from tenantry.kube.status import FieldError
from tenantry.kube.types.reset import keep

NAME_LABEL = "kubernetes.io/metadata.name"
FINALIZER = "kubernetes"
"""The finalizer in spec.finalizers. It is removed when everything in the namespace is deleted."""
ACTIVE, TERMINATING = "Active", "Terminating"
PROTECTED = frozenset({"default", "kube-system", "kube-public"})
"""Namespaces that cannot be deleted (upstream's NamespaceLifecycle)."""

_REF = "io.k8s.api.core.v1."
CONDITION = message(
    _REF + "NamespaceCondition",
    """
    1 type               string(v1.NamespaceConditionType) always required
    2 status             string(v1.ConditionStatus)        always required
    4 lastTransitionTime Time
    5 reason             string
    6 message            string
    """,
)
SPEC = message(_REF + "NamespaceSpec", "1 finalizers []string(v1.FinalizerName)")
STATUS = message(
    _REF + "NamespaceStatus",
    """
    1 phase      string(v1.NamespacePhase)
    2 conditions []NamespaceCondition merge=type map=type
    """,
    CONDITION,
)
MESSAGE = kind(
    _REF + "Namespace",
    """
    2 spec   NamespaceSpec
    3 status NamespaceStatus
    """,
    SPEC,
    STATUS,
)


def living(name: str) -> Object:
    """A namespace as it is stored: active, with the label of its name, and with the finalizer that protects its content."""
    return {
        "metadata": {"name": name, "labels": {NAME_LABEL: name}},
        "spec": {"finalizers": [FINALIZER]},
        "status": {"phase": ACTIVE},
    }


def phase_of(namespace: Object) -> str:
    return (namespace.get("status") or {}).get("phase") or ""


class NamespaceStrategy(Strategy):
    prefix_on_update = "before"

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        return dns1123_label_errors(name, prefix=prefix)

    def default(self, obj: Object) -> None:
        name = name_of(obj)
        if name:
            labels = metadata_of(obj).get("labels") or {}
            if labels.get(NAME_LABEL) != name:
                metadata_of(obj)["labels"] = labels | {NAME_LABEL: name}

    def prepare_for_create(self, obj: Object) -> None:
        self.default(obj)
        obj["status"] = {"phase": ACTIVE}
        spec = obj["spec"] = obj.get("spec") or {}
        finalizers = spec.get("finalizers") or []
        if FINALIZER not in finalizers:
            spec["finalizers"] = [*finalizers, FINALIZER]

    def prepare_for_update(self, obj: Object, old: Object, subresource: str) -> None:
        self.default(obj)
        if subresource == "status":
            keep(obj, old, "spec")
        elif subresource == "finalize":
            keep(obj, old, "status")
        else:
            keep(obj, old, "spec", "status")

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        if subresource == "status":
            return self._validate_phase(obj)
        errors: list[FieldError] = []
        if subresource in ("", "finalize"):
            for index, finalizer in enumerate((obj.get("spec") or {}).get("finalizers") or []):
                # Upstream names the item in its subresource only.
                errors += finalizer_errors("spec.finalizers" + (f"[{index}]" if subresource else ""), finalizer)
        return errors

    def begin_deletion(self, obj: Object) -> None:
        obj["status"] = (obj.get("status") or {}) | {"phase": TERMINATING}

    def holds(self, obj: Object) -> bool:
        return bool((obj.get("spec") or {}).get("finalizers"))

    @staticmethod
    def _validate_phase(obj: Object) -> list[FieldError]:
        phase = phase_of(obj)
        if is_deleting(obj):
            if phase != TERMINATING:
                return [invalid("status.Phase", phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")]
        elif phase != ACTIVE:
            return [invalid("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")]
        return []


DEFINITION = ResourceDefinition(
    group="",
    plural="namespaces",
    singular="namespace",
    kind="Namespace",
    list_kind="NamespaceList",
    namespaced=False,
    short_names=("ns",),
    verbs=tuple(v for v in STANDARD_VERBS if v != "deletecollection"),
    versions={
        "v1": Version(
            name="v1",
            schema=MESSAGE.schema,
            message=MESSAGE,
            columns=(
                NAME,
                column("Status", "The status of the namespace", phase_of),
                AGE,
            ),
            subresources=frozenset({"status", "finalize"}),
            selectable={"status.phase": phase_of},
        )
    },
    storage_version="v1",
    strategy=NamespaceStrategy(),
)
