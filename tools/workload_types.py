"""Writes `tenantry/kube/workloads/kubernetes.txt`: the facts about Kubernetes' workload types, from its Go modules.

It takes names, types, protobuf numbers, defaults, merge keys, list types and columns, and no sentences. The modules come from
Go's module cache, where `go mod download` puts them. The format is explained in `tenantry/kube/workloads/facts.py`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VERSION = "1.37.2"
MODULES = (f"k8s.io/api@v0.{VERSION[2:]}", f"k8s.io/apimachinery@v0.{VERSION[2:]}", f"k8s.io/kubernetes@v{VERSION}")
OUT = Path(__file__).resolve().parent.parent / "tenantry" / "kube" / "workloads" / "kubernetes.txt"
DOWNLOAD_SECONDS = 300

_CORE = "pods podtemplates services endpoints nodes persistentvolumes persistentvolumeclaims replicationcontrollers"
OFFERED: Mapping[tuple[str, str], str] = {
    ("", "v1"): _CORE,
    ("apps", "v1"): "controllerrevisions daemonsets deployments replicasets statefulsets",
    ("autoscaling", "v2"): "horizontalpodautoscalers",
    ("batch", "v1"): "cronjobs jobs",
    ("discovery.k8s.io", "v1"): "endpointslices",
    ("networking.k8s.io", "v1"): "ingressclasses ingresses networkpolicies",
    ("node.k8s.io", "v1"): "runtimeclasses",
    ("policy", "v1"): "poddisruptionbudgets",
    ("scheduling.k8s.io", "v1"): "priorityclasses",
    ("storage.k8s.io", "v1"): "csidrivers storageclasses volumeattributesclasses",
}
"""(group, version) → the resources that are taken, in the version that is stored."""
_OTHER_VERSIONS: Mapping[tuple[str, str], tuple[str, ...]] = {("autoscaling", "horizontalpodautoscalers"): ("v1",)}
"""(group, resource) → its other versions."""
_IN_ANNOTATIONS = ("MetricSpec", "MetricStatus", "HorizontalPodAutoscalerCondition")
"""Structs of autoscaling/v1 that annotations have as JSON."""
_SUBRESOURCES = ("status", "scale")
_EXTRA_SUBRESOURCES = {"pods": ("ephemeralcontainers", "resize")}
_PACKAGES = {"": "core", "discovery.k8s.io": "discovery", "networking.k8s.io": "networking", "node.k8s.io": "node"} | {
    "scheduling.k8s.io": "scheduling",
    "storage.k8s.io": "storage",
}
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_GIVEN = {_META + name for name in ("ObjectMeta", "LabelSelector")}
"""The messages that the product has already."""
_PLAIN = {
    "string": "string",
    "bool": "bool",
    "int32": "int32",
    "int64": "int64",
    "[]byte": "bytes",
    "metav1.Time": "Time",
    "metav1.MicroTime": "MicroTime",
    "Time": "Time",
    "resource.Quantity": "Quantity",
    "intstr.IntOrString": "IntOrString",
    "runtime.RawExtension": "RawExtension",
}
_STRUCT = re.compile(r"^type (\w+) struct \{$(.*?)^\}$", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"^type (\w+) ((?:\[\]|map\[\w+\])*[\w.]+)$", re.MULTILINE)
_FIELD = re.compile(r"^\s*(?:(\w+)\s+)?([\w.\[\]*]+)\s+`([^`]*)`", re.MULTILINE)
_MARKER = re.compile(r"^\s*//\s*\+(\w+)(?:=(.*))?$")
_IMPORT = re.compile(r'^\t(\w+) "k8s.io/api/([\w/]+)"$', re.MULTILINE)
_TAG = re.compile(r'(\w+):"([^"]*)"')


@dataclass
class GoField:
    """A field of a struct. `go_name` is empty for an embedded one."""

    go_name: str
    go_type: str
    tags: Mapping[str, str]
    markers: Mapping[str, str]


@dataclass
class Package:
    """What `types.go` of one package declares. `ref`: `io.k8s.api.core.v1.`."""

    ref: str
    structs: dict[str, list[GoField]] = field(default_factory=dict)
    named: dict[str, str] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)


class Source:
    """The modules of one version. Raises OSError without Go, and NotDownloaded."""

    def __init__(self) -> None:
        self.api, self.machinery, self.kubernetes = directories()
        spec = self.kubernetes / "api" / "openapi-spec" / "swagger.json"
        self.definitions: dict[str, Any] = json.loads(spec.read_text())["definitions"]
        self.enabled = _feature_gates((self.kubernetes / "pkg" / "features" / "kube_features.go").read_text())
        self._packages: dict[str, Package] = {}

    def package(self, ref: str) -> Package:
        found = self._packages.get(ref)
        if found is None:
            folder = (
                self.machinery / "pkg" / "apis" / "meta" / "v1"
                if ref == _META
                else self.api.joinpath(*ref.removeprefix("io.k8s.api.").strip(".").split("."))
            )
            found = self._packages[ref] = _parse(ref, (folder / "types.go").read_text())
        return found


class NotDownloaded(Exception):
    """Go cannot download the modules. The text is what it says."""


def directories() -> list[Path]:
    command = ["go", "mod", "download", "-json", *MODULES]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=DOWNLOAD_SECONDS, check=False)
    if done.returncode:
        raise NotDownloaded(done.stderr.strip() or done.stdout[-500:])
    decoder, text, found = json.JSONDecoder(), done.stdout.strip(), []
    while text:
        value, end = decoder.raw_decode(text)
        found.append(Path(value["Dir"]))
        text = text[end:].strip()
    return found


def _feature_gates(text: str) -> dict[str, bool]:
    """Gate → whether it is on by default."""
    found = {}
    for name, entries in re.findall(r"^\t(\w+): \{\n(.*?)^\t\},$", text, re.MULTILINE | re.DOTALL):
        values = re.findall(r'MustParse\("1\.(\d+)"\), Default: (true|false)', entries)
        current = [on == "true" for minor, on in values if int(minor) <= int(VERSION.split(".")[1])]
        if current:
            found[name] = current[-1]
    return found


def _parse(ref: str, text: str) -> Package:
    package = Package(ref)
    for name, body in _STRUCT.findall(text):
        package.structs[name] = list(_fields(body))
    package.named = {name: target for name, target in _NAMED.findall(text) if name not in package.structs}
    package.imports = {alias: f"io.k8s.api.{path.replace('/', '.')}." for alias, path in _IMPORT.findall(text)}
    return package


def _fields(body: str) -> Iterator[GoField]:
    markers: dict[str, str] = {}
    for line in body.splitlines():
        marker = _MARKER.match(line)
        if marker:
            # The first gate of several is the newest one.
            markers.setdefault(marker[1], (marker[2] or "").strip())
        found = _FIELD.match(line)
        if found and not line.lstrip().startswith("//"):
            name, go_type, tags = found.groups()
            yield GoField(name or "", go_type, dict(_TAG.findall(tags)), markers)
            markers = {}


class Messages:
    """Collects messages, those that are used first."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.lines: list[str] = []
        self._done: set[str] = set(_GIVEN)

    def add(self, ref: str, *, root: bool = False, within: Mapping[str, Any] | None = None) -> None:
        """`within`: the schema of the message that this one is inline in. OpenAPI has its fields there."""
        if ref in self._done:
            return
        self._done.add(ref)
        prefix, _, name = ref.rpartition(".")
        package = self._source.package(prefix + ".")
        schema = self._source.definitions.get(ref, within or {})
        lines = []
        for item in package.structs[name]:
            if item.go_type in ("metav1.TypeMeta", "TypeMeta") or "protobuf" not in item.tags:
                continue
            line = self._line(package, item, schema)
            if not (root and line.split()[1] == "metadata"):
                lines.append(line)
        words = ["kind" if root else "message", _short(ref)]
        if schema.get("x-kubernetes-map-type") == "atomic" and ref in self._source.definitions:
            words.append("atomic")
        self.lines += [" ".join(words), *lines]

    def _line(self, package: Package, item: GoField, schema: Mapping[str, Any]) -> str:
        number = item.tags["protobuf"].split(",")[1]
        json_name, *options = item.tags.get("json", "").split(",")
        if not item.go_name and not json_name:
            owner, name = self._owner(package, item.go_type)
            self.add(owner.ref + name, within=schema)
        kind, message, pointer = self._type(package, item.go_type)
        if not item.go_name and not json_name:
            return f"{number} - {kind} inline"
        flags = []
        is_struct = bool(message) and not kind.startswith(("[]", "map[]")) and not pointer
        unwritten = "omitzero" in options or ("omitempty" in options and not _always_written(kind, pointer))
        if not unwritten and not is_struct:
            flags.append("always")
        shape = schema.get("properties", {}).get(json_name, {})
        if json_name in schema.get("required", ()):
            flags.append("required")
        flags += _list_flags(kind, shape)
        default = item.markers.get("default", "")
        if default.startswith("ref("):
            default = json.dumps(self._constant(package, default[4:-1]))
        if default:
            flags.append(f"default={default}")
        gate = item.markers.get("featureGate")
        if gate and self._source.enabled.get(gate) is False:
            flags.append("off")
        return " ".join([number, json_name, kind, *flags])

    def _constant(self, package: Package, name: str) -> str:
        folder = self._source.api.joinpath(*package.ref.removeprefix("io.k8s.api.").strip(".").split("."))
        found = re.search(rf'^\t{name}\s+\w*\s*= "([^"]*)"', (folder / "types.go").read_text(), re.MULTILINE)
        if found is None:
            raise LookupError(name)
        return found[1]

    def _type(self, package: Package, text: str) -> tuple[str, str, bool]:
        """(type as in the tables, ref of the message or empty, whether it is a pointer)."""
        pointer = text.startswith("*")
        text = text.removeprefix("*")
        container, element = "", text
        if text != "[]byte":
            if text.startswith("[]"):
                container, element = "[]", text[2:]
            elif text.startswith("map["):
                container, element = "map[]", text.partition("]")[2]
        if element in _PLAIN:
            return f"{container}{'*' if pointer and not container else ''}{_PLAIN[element]}", "", pointer
        owner, name = self._owner(package, element)
        if name in owner.named:
            target = owner.named[name]
            if target.startswith(("[]", "map[")):
                inner, message, _ = self._type(owner, target)
                return container + inner, message, pointer
            go_name = f"{'.'.join(owner.ref.rstrip('.').split('.')[-1:])}.{name}"
            return f"{container}{'*' if pointer else ''}{_PLAIN[target]}({go_name})", "", pointer
        ref = owner.ref + name
        self.add(ref)
        shown = name if owner is package else _short(ref)
        return f"{container}{'*' if pointer else ''}{shown}", ref, pointer

    def _owner(self, package: Package, name: str) -> tuple[Package, str]:
        alias, dot, plain = name.rpartition(".")
        if not dot:
            return package, name
        if alias == "types":
            return Package("types.", named={"UID": "string"}), plain
        return self._source.package(_META if alias == "metav1" else package.imports[alias]), plain


def _always_written(kind: str, pointer: bool) -> bool:
    """Whether Go writes a field with omitempty even if it is empty: structs, which are never empty for it."""
    return not pointer and kind in ("Time", "MicroTime", "Quantity", "IntOrString", "RawExtension")


def _list_flags(kind: str, shape: Mapping[str, Any]) -> list[str]:
    flags = []
    strategy = shape.get("x-kubernetes-patch-strategy", "").split(",")
    if "merge" in strategy:
        key = shape.get("x-kubernetes-patch-merge-key")
        flags.append(f"merge={key}" if key else "merge")
    if "replace" in strategy:
        flags.append("replace")
    if "retainKeys" in strategy:
        flags.append("retain")
    if shape.get("x-kubernetes-list-type") == "set":
        flags.append("set")
    if shape.get("x-kubernetes-list-type") == "map":
        flags.append("map=" + ",".join(shape["x-kubernetes-list-map-keys"]))
    map_type = shape.get("x-kubernetes-map-type")
    if map_type == "atomic" or (map_type == "granular" and not kind.startswith("map[]")):
        flags.append(map_type)
    return flags


def _short(ref: str) -> str:
    return ref.removeprefix("io.k8s.api.").replace(_META, "meta.v1.")


def _columns(text: str) -> dict[str, list[str]]:
    """Go name of the function that prints a type → its columns."""
    tables: dict[str, list[str]] = {}
    # Some tables are put together of several lists.
    lists = r"^\t(\w+) :?= (?:append\(\w+, )?\[\]metav1\.TableColumnDefinition\{\n(.*?)^\t\}"
    for name, body in re.findall(lists, text, re.MULTILINE | re.DOTALL):
        columns = [_column(line) for line in re.findall(r"^\t\t\{(Name: .*)\},$", body, re.MULTILINE)]
        tables.setdefault(name, []).extend(columns)
    return {function: tables[table] for table, function in re.findall(r"h\.TableHandler\((\w+), print(\w+)\)", text)}


def _column(line: str) -> str:
    values = dict(re.findall(r'(Name|Type|Format): "([^"]*)"', line))
    priority = re.search(r"Priority: (\d+)", line)
    words = [values["Type"], values.get("Format") or "-", priority[1] if priority else "0", values["Name"]]
    return " ".join(words)


def _resources(source: Source) -> Iterator[tuple[str, str, Any, list[str]]]:
    for (group, version), names in OFFERED.items():
        file = f"apis__{group}__{version}.json" if group else f"api__{version}.json"
        listed = {r["name"]: r for r in json.loads((source.kubernetes / "api" / "discovery" / file).read_text())["resources"]}
        for name in names.split():
            wanted = (*_SUBRESOURCES, *_EXTRA_SUBRESOURCES.get(name, ()))
            yield group, version, listed[name], [below for below in wanted if f"{name}/{below}" in listed]


def lines(source: Source) -> Iterable[str]:
    """The lines of the file."""
    yield f"# From {', '.join(MODULES)} (Apache License 2.0) by tools/workload_types.py. Do not edit."
    columns = _columns((source.kubernetes / "pkg" / "printers" / "internalversion" / "printers.go").read_text())
    messages = Messages(source)
    for group, version, listed, subresources in _resources(source):
        kind = listed["kind"]
        scope = "Namespaced" if listed["namespaced"] else "Cluster"
        yield " ".join(["resource", group or "core", version, listed["name"], listed["singularName"], kind, scope])
        for word, values in (
            ("short", listed.get("shortNames")),
            ("categories", listed.get("categories")),
            ("subresources", subresources),
            ("versions", _OTHER_VERSIONS.get((group, listed["name"]))),
        ):
            if values:
                yield " ".join([word, *values])
        yield from ("column " + column for column in columns[kind])
        package = _PACKAGES.get(group, group)
        for each in (version, *_OTHER_VERSIONS.get((group, listed["name"]), ())):
            messages.add(f"io.k8s.api.{package}.{each}.{kind}", root=True)
    for name in _IN_ANNOTATIONS:
        messages.add(f"io.k8s.api.autoscaling.v1.{name}")
    yield from messages.lines


def main() -> int:
    OUT.write_text("\n".join(lines(Source())) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
