"""What all OpenAPI documents of built-in types say: the release, and how clients authenticate."""

from __future__ import annotations

from tenantry.kube import release
from tenantry.kube.objects import Object

BUILT_IN_INFO: Object = {"title": "Kubernetes", "version": f"{release.MAJOR}.{release.MINOR}"}
CUSTOM_INFO: Object = {"title": "Kubernetes CRD Swagger", "version": "v0.1.0"}
"""A group version that has custom types only says this (upstream)."""
SECURITY_SCHEMES: Object = {
    "BearerToken": {"type": "apiKey", "description": "A bearer token", "name": "authorization", "in": "header"}
}
