"""The path segment `<resource>:<identity hash>`, by which a request names the resource of one export (kcp)."""

from __future__ import annotations

from tenantry.kube.status import internal


def split_identity(path: str) -> tuple[str, str, str]:
    """Splits the identity off the resource segment of `/apis/<group>/<version>/[namespaces/<name>/]<resource>:<identity>/…`.

    Returns (resource, identity, path without the identity). The first two are empty if the path has no identity. Raises
    StatusError 500 for an empty identity (kcp).
    """
    if ":" not in path:
        return "", "", path
    segments = path.split("/")
    index = 4 if len(segments) > 4 and segments[1] == "apis" else 3
    if len(segments) > index and segments[index] == "watch":
        index += 1
    if len(segments) > index + 2 and segments[index] == "namespaces":
        index += 2
    if len(segments) <= index or ":" not in segments[index]:
        return "", "", path
    resource, _, identity = segments[index].partition(":")
    if not identity:
        raise internal("invalid resource: the identity after the colon is empty")
    segments[index] = resource
    return resource, identity, "/".join(segments)
