"""The cells of Pods and PodTemplates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tenantry.kube.durations import age
from tenantry.kube.objects import Object, is_deleting, labels_of
from tenantry.kube.workloads.printing.cells import (
    AGE,
    NAME,
    NONE,
    Cell,
    condition_of,
    container_images,
    container_names,
    labels_text,
    plain,
    spec_of,
    status_of,
)


class _Summary:
    """What the containers of a Pod are doing, all in all. `latest`: when one that restarted had ended, empty if none had."""

    def __init__(self, pod: Object) -> None:
        spec, status = spec_of(pod), status_of(pod)
        self._init = {each.get("name"): each for each in spec.get("initContainers") or ()}
        self.total = len(spec.get("containers") or ()) + sum(map(_restarts_always, self._init.values()))
        self.ready = self.restarts = 0
        self.latest = ""
        self._sidecar_restarts, self._latest_sidecar = 0, ""
        self.reason: str = status.get("reason") or status.get("phase") or ""
        if any(
            each.get("type") == "PodScheduled" and each.get("reason") == "SchedulingGated"
            for each in status.get("conditions") or ()
        ):
            self.reason = "SchedulingGated"
        initializing = self._initialize(status.get("initContainerStatuses") or ())
        if not initializing or condition_of(pod, "Initialized") == "True":
            self.restarts, self.latest = self._sidecar_restarts, self._latest_sidecar
            self._run(pod, status.get("containerStatuses") or ())
        if is_deleting(pod):
            if status.get("reason") == "NodeLost":
                self.reason = "Unknown"
            elif status.get("phase") not in ("Failed", "Succeeded"):
                self.reason = "Terminating"

    def _initialize(self, statuses: Sequence[Object]) -> bool:
        """Whether an init container has not done its work yet."""
        for index, each in enumerate(statuses):
            sidecar = _restarts_always(self._init.get(each.get("name")) or {})
            ended = _finished_at(each)
            self.restarts += each.get("restartCount", 0)
            self.latest = max(self.latest, ended)
            if sidecar:
                self._sidecar_restarts += each.get("restartCount", 0)
                self._latest_sidecar = max(self._latest_sidecar, ended)
            state = each.get("state") or {}
            terminated, waiting = state.get("terminated"), state.get("waiting") or {}
            if terminated is not None and not terminated.get("exitCode"):
                continue
            if sidecar and each.get("started"):
                self.ready += bool(each.get("ready"))
                continue
            if terminated is not None:
                self.reason = "Init:" + _why_terminated(terminated)
            elif waiting.get("reason") and waiting["reason"] != "PodInitializing":
                self.reason = "Init:" + waiting["reason"]
            else:
                self.reason = f"Init:{index}/{len(self._init)}"
            return True
        return False

    def _run(self, pod: Object, statuses: Sequence[Object]) -> None:
        runs, error = False, ""
        for each in reversed(statuses):
            self.restarts += each.get("restartCount", 0)
            self.latest = max(self.latest, _finished_at(each))
            state = each.get("state") or {}
            terminated = state.get("terminated")
            if (state.get("waiting") or {}).get("reason"):
                self.reason = state["waiting"]["reason"]
            elif terminated is not None:
                self.reason = _why_terminated(terminated)
                if terminated.get("exitCode"):
                    error = self.reason
            elif each.get("ready") and state.get("running") is not None:
                runs = True
                self.ready += 1
        if self.reason == "Completed":
            if runs and any(
                c.get("type") == "Ready" and c.get("status") == "True" for c in status_of(pod).get("conditions") or ()
            ):
                self.reason = "Running"
            elif error:
                self.reason = error
            elif runs:
                self.reason = "NotReady"


def _restarts_always(container: Object) -> bool:
    return container.get("restartPolicy") == "Always"


def _finished_at(status: Object) -> str:
    terminated = (status.get("lastState") or {}).get("terminated") or {}
    return terminated.get("finishedAt") or ""


def _why_terminated(terminated: Object) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _ready(pod: Object) -> str:
    summary = _Summary(pod)
    return f"{summary.ready}/{summary.total}"


def _restarts(pod: Object, now: datetime) -> str:
    summary = _Summary(pod)
    if summary.restarts and summary.latest:
        return f"{summary.restarts} ({age(summary.latest, now)} ago)"
    return str(summary.restarts)


def _address(pod: Object) -> str:
    addresses = status_of(pod).get("podIPs") or ()
    return (addresses[0].get("ip") if addresses else "") or NONE


def _readiness_gates(pod: Object) -> str:
    gates = spec_of(pod).get("readinessGates") or ()
    true = sum(condition_of(pod, gate.get("conditionType", "")) == "True" for gate in gates)
    return f"{true}/{len(gates)}" if gates else NONE


def _template_spec(obj: Object) -> Any:
    return spec_of(obj.get("template") or {}).get("containers") or ()


CELLS: Mapping[str, Sequence[Cell]] = {
    "Pod": (
        NAME,
        plain(_ready),
        plain(lambda pod: _Summary(pod).reason),
        _restarts,
        AGE,
        plain(_address),
        plain(lambda pod: spec_of(pod).get("nodeName") or NONE),
        plain(lambda pod: status_of(pod).get("nominatedNodeName") or NONE),
        plain(_readiness_gates),
    ),
    "PodTemplate": (
        NAME,
        plain(lambda obj: container_names(_template_spec(obj))),
        plain(lambda obj: container_images(_template_spec(obj))),
        plain(lambda obj: labels_text(labels_of(obj.get("template") or {}))),
    ),
}
