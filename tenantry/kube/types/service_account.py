"""ServiceAccounts. Their `token` subresource is answered by a connector (TokenRequest)."""

from __future__ import annotations

from tenantry.kube.columns import AGE, NAME
from tenantry.kube.definition import ResourceDefinition, Strategy, Version
from tenantry.kube.message_tables import kind, message
from tenantry.kube.objects import Object, annotations_of

_REF = "io.k8s.api.core.v1."
OBJECT_REFERENCE = message(
    _REF + "ObjectReference",
    """
    1 kind            string
    2 namespace       string
    3 name            string
    4 uid             string(types.UID)
    5 apiVersion      string
    6 resourceVersion string
    7 fieldPath       string
    """,
    atomic=True,
)
LOCAL_OBJECT_REFERENCE = message(_REF + "LocalObjectReference", '1 name string default=""', atomic=True)
MESSAGE = kind(
    _REF + "ServiceAccount",
    """
    2 secrets                      []ObjectReference merge=name map=name
    3 imagePullSecrets             []LocalObjectReference
    4 automountServiceAccountToken *bool
    """,
    OBJECT_REFERENCE,
    LOCAL_OBJECT_REFERENCE,
)

_MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"


class ServiceAccountStrategy(Strategy):
    prefix_on_update = "after"

    returns_deleted = True

    def prepare_for_create(self, obj: Object) -> None:
        _clean(obj)

    def prepare_for_update(self, obj: Object, old: Object, subresource: str) -> None:
        _clean(obj)

    def warnings(self, obj: Object, old: Object | None) -> list[str]:
        if _MOUNTABLE not in annotations_of(obj) or (old is not None and _MOUNTABLE in annotations_of(old)):
            return []
        advice = "prefer separate namespaces to isolate access to mounted secrets"
        return [f"metadata.annotations[{_MOUNTABLE}]: deprecated in v1.32+; {advice}"]


def _clean(obj: Object) -> None:
    """Removes everything but the names from secret references."""
    secrets = obj.get("secrets")
    if secrets:
        obj["secrets"] = [{"name": s["name"]} if s.get("name") else {} for s in secrets]


DEFINITION = ResourceDefinition(
    group="",
    plural="serviceaccounts",
    singular="serviceaccount",
    kind="ServiceAccount",
    list_kind="ServiceAccountList",
    namespaced=True,
    short_names=("sa",),
    versions={
        "v1": Version(name="v1", schema=MESSAGE.schema, message=MESSAGE, columns=(NAME, AGE), subresources=frozenset({"token"})),
    },
    storage_version="v1",
    strategy=ServiceAccountStrategy(),
)
