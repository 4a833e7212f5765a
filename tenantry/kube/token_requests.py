"""What a TokenRequest may ask for (authentication.k8s.io/v1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tenantry.kube.field_errors import invalid, not_supported
from tenantry.kube.names import dns1123_subdomain_errors
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError

_LEAST_SECONDS = 600
_MOST_SECONDS = 1 << 32
_WEBHOOKS = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
_GROUPS = "admissionReviewAPIGroups"


def token_request_errors(spec: Object) -> list[FieldError]:
    """The errors of a spec whose audiences and expirationSeconds are set."""
    seconds, path = spec["expirationSeconds"], "spec.expirationSeconds"
    errors = []
    if seconds < _LEAST_SECONDS:
        errors.append(invalid(path, seconds, "may not specify a duration less than 10 minutes"))
    if seconds > _MOST_SECONDS:
        errors.append(invalid(path, seconds, "may not specify a duration larger than 2^32 seconds"))
    attestations = spec.get("attestations") or {}
    if is_webhook(spec.get("boundObjectRef")):
        if len(spec["audiences"]) != 1:
            errors.append(invalid("spec.audiences", spec["audiences"], "must be length 1 when bound to a webhook config"))
        return errors + _attestation_errors(attestations)
    if attestations:
        text = "attestations may only be specified with a webhook bound object reference"
        return [invalid("spec.attestations", attestations, text)]
    return errors


def is_webhook(reference: Object | None) -> bool:
    """Whether a token is to be bound to the configuration of an admission webhook."""
    if not reference:
        return False
    return reference.get("kind") in _WEBHOOKS and reference.get("apiVersion") == "admissionregistration.k8s.io/v1"


def _attestation_errors(attestations: Mapping[str, Sequence[str] | None]) -> list[FieldError]:
    path = "spec.attestations"
    if len(attestations) != 1:
        text = "webhook bound requests require exactly one admissionReviewAPIGroups attestation"
        return [invalid(path, attestations or None, text)]
    ((key, found),) = attestations.items()
    values, here = found or (), f"{path}[{key}]"
    if key != _GROUPS:
        return [not_supported(here, key, (_GROUPS,))]
    if len(values) != 1:
        return [invalid(here, values, "must specify a single value")]
    group = values[0]
    if not group:
        return [invalid(f"{here}[0]", group, "may not be an empty string")]
    if group == "*":
        return []
    found_errors = dns1123_subdomain_errors(group)
    return [invalid(f"{here}[0]", group, f"must specify a valid API Group: {text}") for text in found_errors]
