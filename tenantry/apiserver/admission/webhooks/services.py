"""Webhooks that are named as services (`clientConfig.service`): where the operator says that they are.

A logical cluster has no Services of its own that lead to processes, so a template of the operator names the host.
"""

from __future__ import annotations

import re

from tenantry.apiserver.admission.webhooks.webhook import ServiceReference
from tenantry.http.outgoing import Destination
from tenantry.http.outgoing_connection import OutgoingError

FIELDS = ("name", "namespace", "cluster", "port")
_FIELD = re.compile(r"\{([^{}]*)\}")
_HOST = re.compile(r"[a-zA-Z0-9.-]+(?::[0-9]+)?|\[[0-9a-fA-F:.]+\](?::[0-9]+)?")


class Services:
    """`template`: `host[:port]` with `{name}`, `{namespace}`, `{cluster}` and `{port}` in it; empty: no service is found."""

    def __init__(self, template: str) -> None:
        """Raises ValueError for a template with another field, or that makes no host."""
        for field in _FIELD.findall(template):
            if field not in FIELDS:
                raise ValueError(f"{{{field}}} is none of {', '.join(f'{{{each}}}' for each in FIELDS)}")
        if template and _HOST.fullmatch(_FIELD.sub("1", template)) is None:
            raise ValueError(f"not the template of a host and port: {template!r}")
        self._template = template

    def resolve(self, service: ServiceReference, bundle: bytes, cluster: str) -> tuple[Destination, str]:
        """Where a service of a logical cluster is, and the Host that it is called by. Raises OutgoingError."""
        if not self._template:
            raise OutgoingError(
                f'service "{service.name}" not found: this server finds services where --webhook-service-host says, '
                "and webhooks by their url"
            )
        values = {"name": service.name, "namespace": service.namespace, "cluster": cluster, "port": str(service.port)}
        place = _FIELD.sub(lambda found: values[found[1]], self._template)
        if _HOST.fullmatch(place) is None:
            raise OutgoingError(f'service "{service.name}" not found')
        host, colon, port = place.rpartition(":") if not place.endswith("]") else (place, "", "")
        if not colon:
            host, port = place, ""
        # The operator has named the place, so it may be called wherever it is.
        name = f"{service.name}.{service.namespace}.svc"
        to = Destination(host.strip("[]"), int(port) if port else service.port, bundle, name, guarded=False)
        return to, name if service.port == 443 else f"{name}:{service.port}"
