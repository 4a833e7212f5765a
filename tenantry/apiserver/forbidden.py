"""The 403 answer for a request that authorization refused, with kube-apiserver's text."""

from __future__ import annotations

from tenantry.apiserver.authorization import Attributes
from tenantry.kube.objects import GroupResource
from tenantry.kube.status import StatusError, forbidden


def forbidden_request(attributes: Attributes, reason: str = "") -> StatusError:
    """403 `… is forbidden: User "x" cannot list resource "y" in API group "" …`, with the authorizer's reason where it gave
    one."""
    text = _sentence(attributes)
    if reason:
        text = f"{text}: {reason}"
    if not attributes.is_resource:
        return StatusError(403, "Forbidden", f"forbidden: {text}", details={})
    return forbidden(GroupResource(attributes.group, attributes.resource), attributes.name, text)


def _sentence(attributes: Attributes) -> str:
    user = f'User "{attributes.user.name}" cannot {attributes.verb}'
    if not attributes.is_resource:
        return f'{user} path "{attributes.path}"'
    resource = f"{attributes.resource}/{attributes.subresource}" if attributes.subresource else attributes.resource
    where = f'in the namespace "{attributes.namespace}"' if attributes.namespace else "at the cluster scope"
    return f'{user} resource "{resource}" in API group "{attributes.group}" {where}'
