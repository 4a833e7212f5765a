"""Volumes of Pods: plugins that are gone, and files that would be written over each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from tenantry.kube.go_text import quote
from tenantry.kube.objects import Object
from tenantry.kube.workloads.warnings.amounts import claim_warnings

GONE_PLUGINS = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
"""Field of a volume → since when it does nothing, in the order in which upstream looks."""
_SHOWN_AS = {"storageos": "storageOS"}
_PATHS_MAX = 200
"""How many paths of a volume are compared with each other. kube-apiserver compares all, in quadratic time."""


class _File(NamedTuple):
    path: str
    source: str

    def __str__(self) -> str:
        return f"{quote(self.path)} ({self.source})" if self.source else quote(self.path)


def plugin_warnings(path: str, source: Object, plugins: Iterable[str] = GONE_PLUGINS) -> Iterator[str]:
    """`source`: what has one field for each plugin: a volume, or the spec of a PersistentVolume."""
    for plugin in plugins:
        if plugin == "cephfs" and ((source.get("ephemeral") or {}).get("volumeClaimTemplate")):
            spec = source["ephemeral"]["volumeClaimTemplate"].get("spec") or {}
            yield from claim_warnings(f"{path}.ephemeral.volumeClaimTemplate.spec", spec)
        if source.get(plugin) is not None:
            yield f"{path}.{_SHOWN_AS.get(plugin, plugin)}: {GONE_PLUGINS[plugin]}"


def overlap_warnings(volumes: Iterable[Object]) -> Iterator[str]:
    """Files of one volume of which one is the other, or its directory."""
    for volume in volumes:
        name = volume.get("name") or ""
        for kind, field, named in (("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName")):
            source = volume.get(field) or {}
            shown = f"{kind} {quote(source.get(named) or '')}"
            yield from _overlaps(name, shown, _files(source, ""))
        yield from _overlaps(name, "DownwardAPI", _files(volume.get("downwardAPI") or {}, ""))
        projected = volume.get("projected")
        if projected is not None:
            files: list[_File] = []
            for source in projected.get("sources") or ():
                if not source:
                    yield f"volume {quote(name)} (Projected) has no sources provided"
                files += islice(_projected(source), _PATHS_MAX)
            yield from _overlaps(name, "Projected", files)


def _files(source: Object, shown: str) -> Iterator[_File]:
    for item in source.get("items") or ():
        yield _File(item.get("path") or "", shown)


def _projected(source: Object) -> Iterator[_File]:
    """The files of a source of a projected volume. One that is whole names none."""
    for kind, field in (("ConfigMap", "configMap"), ("Secret", "secret")):
        if (source.get(field) or {}).get("items") is not None:
            yield from _files(source[field], f"{kind} {quote(source[field].get('name') or '')}")
            return
    if (source.get("downwardAPI") or {}).get("items") is not None:
        yield from _files(source["downwardAPI"], "DownwardAPI")
    elif (token := source.get("serviceAccountToken")) is not None:
        yield _File(token.get("path") or "", "ServiceAccountToken")
    elif (bundle := source.get("clusterTrustBundle")) is not None:
        named = bundle["name"] if bundle.get("name") is not None else bundle.get("signerName") or ""
        yield _File(bundle.get("path") or "", f"ClusterTrustBundle {quote(named)}")
    elif (certificate := source.get("podCertificate")) is not None:
        for field, what in (
            ("certificateChainPath", "chain"),
            ("keyPath", "key"),
            ("credentialBundlePath", "credential bundle"),
        ):
            if certificate.get(field):
                yield _File(certificate[field], f"PodCertificate {what}")


def _overlaps(volume: str, shown: str, files: Iterable[_File]) -> Iterator[str]:
    earlier: list[tuple[_File, str]] = []
    for path, source in islice(files, _PATHS_MAX):
        file = _File(path.rstrip("/"), source)
        whole = file.path + "/"
        if file.path:
            for other, other_whole in earlier:
                if other.path and (other_whole.startswith(whole) or whole.startswith(other_whole)):
                    yield f"volume {quote(volume)} ({shown}): overlapping paths: {file} with {other}"
        earlier.append((file, whole))
