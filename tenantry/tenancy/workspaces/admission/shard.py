"""Admission core.kcp.io/Shard: the URLs that a Shard does not give are its baseURL (kcp)."""

from __future__ import annotations

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import CREATE, UPDATE, Review


class ShardAdmission(Plugin):
    """Sets missing URLs of a Shard to its baseURL, in place."""

    def mutate(self, review: Review) -> None:
        if review.operation in (CREATE, UPDATE) and review.object is not None and not review.subresource:
            spec = review.object.get("spec") or {}
            for field in ("externalURL", "virtualWorkspaceURL"):
                if spec.get("baseURL") and not spec.get(field):
                    spec[field] = spec["baseURL"]
