"""The logical cluster of a request's path. Limits that tenants share are counted for it."""

from __future__ import annotations

from tenantry.kube.status import StatusError
from tenantry.placement.paths.directory import Directory

_CLUSTERS = "/clusters/"
_RANGES = "/ranges/"
_SERVICES = "/services/"


def tenant_of(directory: Directory, path: str) -> str:
    """The id of the logical cluster of a path, empty if there is none. The path may have an id or a path of workspaces.

    For a virtual workspace it is the cluster in its arguments, which is the provider, not a cluster whose objects it shows.
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
