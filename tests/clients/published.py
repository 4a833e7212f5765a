"""CustomResourceDefinitions, and sample objects of them, out of the Go modules that their projects publish."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]

MODULES = {
    "github.com/argoproj/argo-cd/v3": "v3.5.7",
    "github.com/argoproj/argo-rollouts": "v1.10.1",
    "github.com/argoproj/argo-workflows/v4": "v4.0.5",
    "github.com/aws/karpenter-provider-aws": "v1.14.1",
    "github.com/cert-manager/cert-manager": "v1.21.2",
    "github.com/cilium/cilium": "v1.20.2",
    "github.com/envoyproxy/gateway": "v1.9.1",
    "github.com/external-secrets/external-secrets": "v1.3.2",
    "github.com/fluxcd/kustomize-controller": "v1.9.6",
    "github.com/fluxcd/source-controller": "v1.9.6",
    "github.com/kedacore/keda/v2": "v2.21.0",
    "github.com/kubernetes-csi/external-snapshotter/client/v8": "v8.7.0",
    "github.com/kyverno/kyverno": "v1.19.1",
    "github.com/open-policy-agent/gatekeeper/v3": "v3.23.1",
    "github.com/projectcontour/contour": "v1.33.8",
    "github.com/prometheus-operator/prometheus-operator": "v0.85.0",
    "github.com/traefik/traefik/v3": "v3.7.13",
    "github.com/vmware-tanzu/velero": "v1.18.3",
    "go.universe.tf/metallb": "v0.16.2",
    "istio.io/api": "v1.32.0",
    "k8s.io/autoscaler/vertical-pod-autoscaler": "v1.8.1",
    "knative.dev/serving": "v0.51.0",
    "sigs.k8s.io/cluster-api": "v1.14.2",
    "sigs.k8s.io/gateway-api": "v1.6.3",
    "sigs.k8s.io/karpenter": "v1.14.1",
    "sigs.k8s.io/kueue": "v0.17.0",
}
"""Module → version."""
SAMPLES_OF_A_KIND = 4
FILE_BYTES_MAX = 1 << 21
SAMPLE_BYTES_MAX = 1 << 16
_SECONDS = 300
_TESTS = re.compile(r"(^|/)(tests?|e2e|testdata|conformance|hack|docs|website|site)(/|$)")


@dataclass(slots=True)
class Published:
    """One definition, and samples of its objects in the order of their files."""

    module: str
    definition: Object
    samples: list[Object] = field(default_factory=list)

    @property
    def name(self) -> str:
        found: str = self.definition["metadata"]["name"]
        return found


def download(module: str) -> Path:
    """The folder of a module in Go's cache, fetched if it is not there. Raises CalledProcessError."""
    command = ["go", "mod", "download", "-json", f"{module}@{MODULES[module]}"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=_SECONDS)
    return Path(json.loads(done.stdout)["Dir"])


@cache
def published(module: str) -> Mapping[str, Published]:
    """All definitions of a module, by name. Where a name comes twice, the file that is nearest to the root has it."""
    documents = list(_documents(download(module)))
    found: dict[str, Published] = {}
    for each in documents:
        if _is_definition(each):
            each.pop("status", None)
            found.setdefault(each["metadata"]["name"], Published(module, each))
    by_kind = {
        (f"{spec['group']}/{version['name']}", spec["names"]["kind"]): one
        for one in found.values()
        for spec in [one.definition["spec"]]
        for version in spec["versions"]
        if version.get("served")
    }
    for each in documents:
        one = by_kind.get((str(each.get("apiVersion")), str(each.get("kind"))))
        if one is not None and _is_sample(each) and len(one.samples) < SAMPLES_OF_A_KIND and each not in one.samples:
            one.samples.append(each)
    return dict(sorted(found.items()))


def _is_definition(each: Object) -> bool:
    """Whether it is a whole one; tests of projects have parts of some."""
    if each.get("kind") != "CustomResourceDefinition" or each["apiVersion"] != "apiextensions.k8s.io/v1":
        return False
    spec, metadata = each.get("spec"), each.get("metadata")
    if not isinstance(spec, dict) or not spec.get("group") or not isinstance(metadata, dict) or "name" not in metadata:
        return False
    versions: list[Object] = spec.get("versions") or [{}]
    return all(version.get("name") for version in versions)


def _is_sample(each: Object) -> bool:
    metadata = each.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str) or not metadata["name"]:
        return False
    return len(json.dumps(each, default=str)) <= SAMPLE_BYTES_MAX


def _documents(folder: Path) -> Iterator[Object]:
    """The mappings in a folder's YAML files; those that a template makes are none."""
    paths = [path for path in folder.rglob("*.yaml") if path.is_file() and path.stat().st_size <= FILE_BYTES_MAX]
    for path in sorted(paths, key=lambda path: _rank(path.relative_to(folder))):
        text = path.read_text(errors="replace")
        if "{{" in text and "CustomResourceDefinition" not in text:
            continue
        try:
            for each in yaml.load_all(text, Loader=_Loader):
                if isinstance(each, dict) and isinstance(each.get("apiVersion"), str):
                    yield each
        except (yaml.YAMLError, ValueError, RecursionError):
            continue


def _rank(path: Path) -> tuple[bool, int, str]:
    """Files of tests come last."""
    return bool(_TESTS.search(path.parent.as_posix())), len(path.parts), path.as_posix()


class _Loader(yaml.CSafeLoader):
    """Dates stay text, as in JSON."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
