"""The logical cluster that a request's path is about, from whose share of a process the request takes."""

from __future__ import annotations

from tenantry.kube.status import StatusError
from tenantry.placement.paths.directory import Directory

_CLUSTERS = "/clusters/"
_RANGES = "/ranges/"
_SERVICES = "/services/"


def tenant_of(directory: Directory, path: str) -> str:
    """The id of the logical cluster, by whichever of its names it is called; empty where there is none.

    That of a virtual workspace is the cluster that its arguments begin with: its provider, and not those whose objects it shows.
    """
    if path.startswith(_RANGES):
        path = path[path.find("/", len(_RANGES)) :] if path.find("/", len(_RANGES)) > 0 else ""
    if path.startswith(_CLUSTERS):
        name = path[len(_CLUSTERS) :].partition("/")[0]
    elif path.startswith(_SERVICES):
        name = path[len(_SERVICES) :].partition("/")[2].partition("/")[0]
    else:
        return ""
    if ":" not in name:
        return name
    try:
        return directory.cluster_of(name) or ""
    except StatusError:
        return ""
