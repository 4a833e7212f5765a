"""How a path asks for one of several resources of the same name: `<resource>:<identity of its export>` (kcp)."""

from __future__ import annotations

from tenantry.kube.status import internal


def split_identity(path: str) -> tuple[str, str, str]:
    """Takes `:identity` off the resource segment of `/apis/<group>/<version>/[namespaces/<name>/]<resource>:<identity>/…`.

    Returns (resource, identity, path without it); the first two are empty where there is none. Raises StatusError 500 for an
    empty identity, as kcp does.
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
