"""Labels of nodes that are deprecated, where something selects nodes by them (pkg/api/node/util.go)."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.kube.names import label_value_errors
from tenantry.kube.objects import Object

DEPRECATED = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}
"""Label → what to do about it."""


def term_warnings(path: str, term: Object, *, values: bool) -> Iterator[str]:
    """Warnings about a NodeSelectorTerm. `values`: whether its values are looked at, which validation has not done."""
    for index, requirement in enumerate(term.get("matchExpressions") or ()):
        here, key = f"{path}.matchExpressions[{index}]", requirement.get("key") or ""
        if key in DEPRECATED:
            yield f"{here}.key: {key} is {DEPRECATED[key]}"
        if values:
            for number, value in enumerate(requirement.get("values") or ()):
                for text in label_value_errors(value):
                    yield f"{here}.values[{number}]: {value} is invalid, {text}"
