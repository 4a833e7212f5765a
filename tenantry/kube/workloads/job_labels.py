"""The selector of a Job, which is made of its uid (pkg/registry/batch/job/strategy.go)."""

from __future__ import annotations

from tenantry.kube.objects import Object, labels_of, name_of

CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
_JOB_NAME = "batch.kubernetes.io/job-name"
_OLD = {CONTROLLER_UID: "controller-uid", _JOB_NAME: "job-name"}


def make_selector(obj: Object) -> None:
    """Sets the selector and labels of a new Job, unless its maker says that it has its own. Changes `obj`."""
    spec = obj["spec"]
    if spec.get("manualSelector"):
        return
    template = spec.setdefault("template", {}).setdefault("metadata", {})
    before = template.get("labels") or {}
    # Upstream's defaults gave the Job the labels of the template itself, which change with it.
    shared = bool(before) and labels_of(obj) == before
    values = {CONTROLLER_UID: obj["metadata"].get("uid") or "", _JOB_NAME: name_of(obj)}
    labels = before | {name: value for key, value in values.items() for name in (key, _OLD[key])}
    template["labels"] = labels
    if shared:
        obj["metadata"]["labels"] = dict(labels)
    selector = spec.setdefault("selector", {})
    selector["matchLabels"] = (selector.get("matchLabels") or {}) | {CONTROLLER_UID: values[CONTROLLER_UID]}
