"""The cells of types that make Pods, and of those that are about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tenantry.kube.durations import age, human_duration
from tenantry.kube.objects import Object, is_deleting, split_api_version
from tenantry.kube.selectors.labels import from_object
from tenantry.kube.workloads.printing.cells import (
    AGE,
    CONTAINER_CELLS,
    NAME,
    NONE,
    UNKNOWN,
    UNSET,
    Cell,
    condition_of,
    container_images,
    container_names,
    containers_of,
    field,
    labels_text,
    plain,
    selector_text,
    spec,
    spec_of,
    status,
    status_of,
)

_JOB_STATES = (("Suspended", "Suspended"), ("FailureTarget", "FailureTarget"), ("SuccessCriteriaMet", "SuccessCriteriaMet"))
_METRICS_SHOWN = 2


def _of_desired(obj: Object) -> str:
    return f"{status_of(obj).get('readyReplicas', 0)}/{spec_of(obj).get('replicas', 0)}"


def _deployment_selector(obj: Object) -> str:
    try:
        return str(from_object(spec_of(obj).get("selector")))
    except ValueError:
        return "<invalid>"


_SELECTOR: Cell = plain(lambda obj: selector_text(spec_of(obj).get("selector")))


def _job_status(job: Object) -> str:
    for condition, shown in (("Complete", "Complete"), ("Failed", "Failed")):
        if condition_of(job, condition) == "True":
            return shown
    if is_deleting(job):
        return "Terminating"
    return next((shown for condition, shown in _JOB_STATES if condition_of(job, condition) == "True"), "Running")


def _completions(job: Object) -> str:
    succeeded, its_spec = status_of(job).get("succeeded", 0), spec_of(job)
    if "completions" in its_spec:
        return f"{succeeded}/{its_spec['completions']}"
    parallelism = its_spec.get("parallelism", 0)
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _job_duration(job: Object, now: datetime) -> str:
    start, end = status_of(job).get("startTime"), status_of(job).get("completionTime")
    if not start:
        return ""
    until = datetime.fromisoformat(end) if end else now
    return human_duration((until - datetime.fromisoformat(start)).total_seconds())


def _suspend(job: Object) -> str:
    suspend = spec_of(job).get("suspend")
    return UNSET if suspend is None else str(bool(suspend))


def _last_schedule(job: Object, now: datetime) -> str:
    last = status_of(job).get("lastScheduleTime")
    return age(last, now) if last else NONE


def _job_of(cron_job: Object) -> Object:
    return spec_of(cron_job).get("jobTemplate") or {}


def _owner(revision: Object) -> str:
    owners = revision["metadata"].get("ownerReferences") or ()
    owner = next((each for each in owners if each.get("controller")), None)
    if owner is None:
        return NONE
    group, _ = split_api_version(owner.get("apiVersion") or "")
    kind = owner.get("kind") or ""
    shown = f"{kind}.{group}" if group else kind
    return f"{shown.lower()}/{owner.get('name', '')}"


def _budget(name: str) -> Cell:
    return lambda obj, now: str(spec_of(obj).get(name, "N/A"))


def _reference(autoscaler: Object) -> str:
    target = spec_of(autoscaler).get("scaleTargetRef") or {}
    return f"{target.get('kind', '')}/{target.get('name', '')}"


def _metrics(autoscaler: Object) -> str:
    specs = spec_of(autoscaler).get("metrics") or ()
    statuses = status_of(autoscaler).get("currentMetrics") or ()
    if not specs:
        return NONE
    shown = [_metric(each, statuses[index] if index < len(statuses) else {}) for index, each in enumerate(specs)]
    text = ", ".join(shown[:_METRICS_SHOWN])
    rest = len(shown) - _METRICS_SHOWN
    return f"{text} + {rest} more..." if rest > 0 else text


_SOURCES = {
    "External": "external",
    "Pods": "pods",
    "Object": "object",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}


def _metric(metric: Object, current: Object) -> str:
    of = metric.get("type") or ""
    source = _SOURCES.get(of)
    if source is None:
        return "<unknown type>"
    wanted, now = metric.get(source) or {}, (current.get(source) or {}).get("current") or {}
    target = wanted.get("target") or {}
    if of in ("Resource", "ContainerResource"):
        if "averageValue" in target:
            return f"{wanted.get('name', '')}: {now.get('averageValue', UNKNOWN)}/{target['averageValue']}"
        return f"{wanted.get('name', '')}: {_percent(now, UNKNOWN)}/{_percent(target, '<auto>')}"
    if of == "Pods" or "averageValue" in target:
        text = f"{now.get('averageValue', UNKNOWN)}/{target.get('averageValue', '0')}"
        return text if of == "Pods" else f"{text} (avg)"
    return f"{now.get('value', UNKNOWN)}/{target.get('value', '0')}"


def _percent(values: Object, missing: str) -> str:
    utilization = values.get("averageUtilization")
    return missing if utilization is None else f"{utilization}%"


def _minimum(autoscaler: Object) -> Any:
    return str(spec_of(autoscaler).get("minReplicas", UNSET))


_REPLICAS: tuple[Cell, ...] = (NAME, spec("replicas", 0), status("replicas", 0), status("readyReplicas", 0), AGE)

CELLS: Mapping[str, Sequence[Cell]] = {
    "ControllerRevision": (NAME, plain(_owner), field("revision", 0), AGE),
    "CronJob": (
        NAME,
        spec("schedule"),
        spec("timeZone", NONE),
        plain(_suspend),
        plain(lambda obj: len(status_of(obj).get("active") or ())),
        _last_schedule,
        AGE,
        plain(lambda obj: container_names(containers_of(_job_of(obj)))),
        plain(lambda obj: container_images(containers_of(_job_of(obj)))),
        plain(lambda obj: selector_text(spec_of(_job_of(obj)).get("selector"))),
    ),
    "DaemonSet": (
        NAME,
        status("desiredNumberScheduled", 0),
        status("currentNumberScheduled", 0),
        status("numberReady", 0),
        status("updatedNumberScheduled", 0),
        status("numberAvailable", 0),
        plain(lambda obj: labels_text(spec_of(spec_of(obj).get("template") or {}).get("nodeSelector"))),
        AGE,
        *CONTAINER_CELLS,
        _SELECTOR,
    ),
    "Deployment": (
        NAME,
        plain(_of_desired),
        status("updatedReplicas", 0),
        status("availableReplicas", 0),
        AGE,
        *CONTAINER_CELLS,
        plain(_deployment_selector),
    ),
    "HorizontalPodAutoscaler": (
        NAME,
        plain(_reference),
        plain(_metrics),
        plain(_minimum),
        spec("maxReplicas", 0),
        status("currentReplicas", 0),
        AGE,
    ),
    "Job": (
        NAME,
        plain(_job_status),
        plain(_completions),
        _job_duration,
        AGE,
        *CONTAINER_CELLS,
        _SELECTOR,
    ),
    "PodDisruptionBudget": (
        NAME,
        _budget("minAvailable"),
        _budget("maxUnavailable"),
        status("disruptionsAllowed", 0),
        AGE,
    ),
    "ReplicaSet": (*_REPLICAS, *CONTAINER_CELLS, _SELECTOR),
    "ReplicationController": (
        *_REPLICAS,
        *CONTAINER_CELLS,
        plain(lambda obj: labels_text(spec_of(obj).get("selector"))),
    ),
    "StatefulSet": (NAME, plain(_of_desired), AGE, *CONTAINER_CELLS),
}
