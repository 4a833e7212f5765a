"""How objects of a custom type get from one version to another (`spec.conversion` of a CustomResourceDefinition)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

REVIEW_VERSIONS = ("v1", "v1beta1")


@dataclass(frozen=True, slots=True, eq=False)
class WebhookConversion:
    """A webhook that converts. `name`: of the CustomResourceDefinition. `client`: its clientConfig. `review_version`: that of the
    ConversionReview that it is sent, the first of those it takes that is known; empty where none is."""

    name: str
    client: Mapping[str, Any]
    review_version: str


def webhook_conversion(crd: Mapping[str, Any]) -> WebhookConversion | None:
    """The webhook that a valid CustomResourceDefinition names. None where it has one version only: nothing is converted."""
    spec = crd["spec"]
    declared = spec.get("conversion") or {}
    if declared.get("strategy") != "Webhook" or len(spec["versions"]) == 1:
        return None
    webhook = declared.get("webhook") or {}
    known = (each for each in webhook.get("conversionReviewVersions") or () if each in REVIEW_VERSIONS)
    return WebhookConversion(crd["metadata"]["name"], webhook.get("clientConfig") or {}, next(known, ""))
