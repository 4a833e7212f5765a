"""PartialObjectMetadata: an object reduced to its metadata (meta.k8s.io/v1)."""

from __future__ import annotations

from tenantry.kube.objects import Object


def partial(obj: Object, *, version: str = "v1") -> Object:
    """The object's metadata; `version` is that of meta.k8s.io. The metadata is shared with `obj`."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": obj.get("metadata") or {},
    }
