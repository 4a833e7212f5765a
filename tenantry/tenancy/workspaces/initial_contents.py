"""The objects that every logical cluster is created with: namespaces, service accounts and the CA certificate."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.types.namespace import living
from tenantry.storage.record import Change
from tenantry.tenancy.object_changes import Template
from tenantry.tenancy.types import SystemDefinitions

NAMESPACES = ("default", "kube-system")
ROOT_CA = "kube-root-ca.crt"
_ROOT_CA_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal "
    "service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."
)


def base_contents(definitions: SystemDefinitions, ca_certificate: str, cluster: str, now: str) -> Iterable[Change]:
    """The creation of the namespaces `default` and `kube-system`, each with its ServiceAccount and the CA's certificate (PEM).

    In kcp, the initializer of `root:universal` and several controllers create these. `now`: metav1.Time.
    """
    templates = _templates(definitions.namespaces, definitions.service_accounts, definitions.config_maps, ca_certificate)
    return [template.change(cluster, now) for template in templates]


@lru_cache(maxsize=8)
def _templates(
    namespaces: ResourceDefinition, service_accounts: ResourceDefinition, config_maps: ResourceDefinition, certificate: str
) -> tuple[Template, ...]:
    made: list[Template] = []
    for name in NAMESPACES:
        account, bundle = default_account(name), root_bundle(name, certificate)
        made += [Template(namespaces, living(name)), Template(service_accounts, account), Template(config_maps, bundle)]
    return tuple(made)


def default_account(namespace: str) -> Object:
    """The ServiceAccount `default` of a namespace."""
    return {"metadata": {"name": "default", "namespace": namespace}}


def root_bundle(namespace: str, certificate: str) -> Object:
    """The ConfigMap `kube-root-ca.crt` of a namespace. `certificate`: PEM."""
    description = {"kubernetes.io/description": _ROOT_CA_DESCRIPTION}
    metadata = {"name": ROOT_CA, "namespace": namespace, "annotations": description}
    return {"metadata": metadata, "data": {"ca.crt": certificate}}
