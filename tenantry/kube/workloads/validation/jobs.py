"""Validates Jobs and CronJobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenantry.kube.field_errors import IMMUTABLE, invalid, not_supported, required, show, while_few
from tenantry.kube.label_selector_validation import label_selector_errors
from tenantry.kube.names import qualified_name_errors
from tenantry.kube.objects import Object, labels_of, name_of
from tenantry.kube.selectors.labels import from_object
from tenantry.kube.status import FieldError
from tenantry.kube.workloads.cron import is_time_zone, schedule_problem
from tenantry.kube.workloads.job_labels import CONTROLLER_UID
from tenantry.kube.workloads.validation.checks import all_not_negative, in_order, items, member, one_of
from tenantry.kube.workloads.validation.pods import template_errors

_INDEXES_MAX = 100_000
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_COMPLETION_MODES = ("NonIndexed", "Indexed")
_CONCURRENCY = ("Allow", "Forbid", "Replace")
_CRON_NAME_CHARACTERS = 52
_RESTART = 'valid values: "OnFailure", "Never"'


def job_errors(obj: Object, old: Object | None) -> list[FieldError]:
    spec = obj["spec"]
    errors: list[FieldError] = []
    selector, labels = spec.get("selector"), labels_of(spec["template"])
    if selector is None:
        errors.append(required("spec.selector"))
    else:
        errors += label_selector_errors(selector, "spec.selector")
    if old is None and not spec.get("manualSelector"):
        errors += _generated_errors(obj, spec)
    try:
        matches = selector is not None and from_object(selector).matches(labels)
    except ValueError:
        matches = True
    if not matches:
        errors.append(
            invalid("spec.template.metadata.labels", in_order(labels) or None, "`selector` does not match template `labels`")
        )
    errors += job_spec_errors(spec, "spec")
    if old is not None:
        errors += _update_errors(spec, old["spec"])
    return errors


def _generated_errors(obj: Object, spec: Object) -> list[FieldError]:
    uid = obj["metadata"].get("uid") or ""
    if not uid:
        return []
    if (spec.get("selector") or {}).get("matchLabels") != {CONTROLLER_UID: uid} or (spec.get("selector") or {}).get(
        "matchExpressions"
    ):
        return [invalid("spec.selector", spec.get("selector"), "`selector` not auto-generated")]
    return []


def job_spec_errors(spec: Object, path: str) -> list[FieldError]:
    errors = all_not_negative(
        spec, path, "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"
    )
    errors += all_not_negative(spec, path, "backoffLimitPerIndex", "maxFailedIndexes")
    mode = spec.get("completionMode")
    if mode is not None:
        errors += member(mode, f"{path}.completionMode", _COMPLETION_MODES)
        if mode == "Indexed" and spec.get("parallelism", 0) > _INDEXES_MAX:
            text = f"must be less than or equal to {_INDEXES_MAX} when completion mode is Indexed"
            errors.append(invalid(f"{path}.parallelism", spec["parallelism"], text))
        unbounded = "backoffLimitPerIndex" in spec and "maxFailedIndexes" not in spec
        if mode == "Indexed" and unbounded and (spec.get("completions") or 0) > _INDEXES_MAX:
            text = f"must be specified when completions is above {_INDEXES_MAX}"
            errors.append(required(f"{path}.maxFailedIndexes", text))
        if mode == "Indexed" and spec.get("completions") is None:
            errors.append(required(f"{path}.completions", "when completion mode is Indexed"))
        if mode == "NonIndexed" and "backoffLimitPerIndex" in spec:
            text = "requires indexed completion mode"
            errors.append(invalid(f"{path}.backoffLimitPerIndex", spec["backoffLimitPerIndex"], text))
    for here, rule in while_few(errors, items(spec.get("podFailurePolicy") or {}, "rules", f"{path}.podFailurePolicy")):
        errors += _failure_rule_errors(rule, here)
    template = spec.get("template") or {}
    errors += template_errors(template, f"{path}.template")
    policy = (template.get("spec") or {}).get("restartPolicy") or ""
    here = f"{path}.template.spec.restartPolicy"
    if policy in ("", "Always"):
        errors.append(required(here, _RESTART))
    elif policy not in ("OnFailure", "Never"):
        errors.append(not_supported(here, policy, ("OnFailure", "Never")))
    elif policy != "Never" and "podFailurePolicy" in spec:
        errors.append(invalid(here, policy, 'only "Never" is supported when podFailurePolicy is specified'))
    return errors


def _failure_rule_errors(rule: Object, path: str) -> list[FieldError]:
    action = rule.get("action") or ""
    errors: list[FieldError] = []
    if not action:
        errors.append(required(f"{path}.action", f"valid values: [{' '.join(show(each) for each in _ACTIONS)}]"))
    elif action not in _ACTIONS:
        errors.append(not_supported(f"{path}.action", action, _ACTIONS))
    for here, pattern in items(rule, "onPodConditions", path):
        of = pattern.get("type") or ""
        errors += [invalid(f"{here}.type", of, text) for text in qualified_name_errors(of)]
        errors += one_of(pattern.get("status"), f"{here}.status", ("False", "True", "Unknown"), missing="")
    chosen = [name for name in ("onExitCodes", "onPodConditions") if rule.get(name)]
    if len(chosen) != 1:
        text = "specifying both OnExitCodes and OnPodConditions is not supported"
        if not chosen:
            text = "specifying one of OnExitCodes and OnPodConditions is required"
        errors.append(FieldError("Invalid", path, f"Invalid value: {text}"))
    return errors


def _update_errors(spec: Object, old: Object) -> list[FieldError]:
    errors = [
        invalid(f"spec.{name}", spec.get(name), IMMUTABLE)
        for name in ("selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy")
        if spec.get(name) != old.get(name)
    ]
    if spec.get("completions") != old.get("completions"):
        elastic = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")
        if not elastic:
            errors.append(invalid("spec.completions", spec.get("completions"), IMMUTABLE))
    if spec["template"] != old["template"] and not (old.get("suspend") and _same_work(spec["template"], old["template"])):
        errors.append(FieldError("Invalid", "spec.template", f"Invalid value: {_brief(spec['template'])}: {IMMUTABLE}"))
    return errors


def _brief(template: Object) -> str:
    """Upstream shows all of its internal type here."""
    return '"' + ",".join(each.get("name") or "" for each in (template.get("spec") or {}).get("containers") or ()) + '"'


def _same_work(template: Object, old: Object) -> bool:
    """Whether only what tells where Pods run differs, which may be changed while a Job is suspended."""
    names = ("nodeSelector", "tolerations", "affinity", "schedulingGates")
    return _without(template, names) == _without(old, names)


def _without(template: Object, names: tuple[str, ...]) -> Object:
    spec: Mapping[str, Any] = template.get("spec") or {}
    return {name: value for name, value in spec.items() if name not in names}


def cron_job_errors(obj: Object, old: Object | None) -> list[FieldError]:
    spec, name = obj["spec"], name_of(obj)
    errors: list[FieldError] = []
    if old is None and len(name) > _CRON_NAME_CHARACTERS:
        errors.append(invalid("metadata.name", name, f"must be no more than {_CRON_NAME_CHARACTERS} characters"))
    schedule = spec.get("schedule") or ""
    if "TZ" in schedule:
        text = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        errors.append(invalid("spec.schedule", schedule, text))
    elif schedule and (problem := schedule_problem(schedule)):
        errors.append(invalid("spec.schedule", schedule, problem))
    errors += all_not_negative(spec, "spec", "startingDeadlineSeconds")
    errors += one_of(spec.get("concurrencyPolicy"), "spec.concurrencyPolicy", _CONCURRENCY, missing="")
    zone = spec.get("timeZone")
    if zone is not None and not is_time_zone(zone):
        errors.append(
            invalid("spec.timeZone", zone, f"unknown time zone {zone}" if zone else "timeZone must be nil or non-empty string")
        )
    job = (spec.get("jobTemplate") or {}).get("spec") or {}
    if job.get("manualSelector"):
        text = 'Unsupported value: true: supported values: "nil", "false"'
        errors.append(FieldError("NotSupported", "spec.jobTemplate.spec.manualSelector", text))
    errors += job_spec_errors(job, "spec.jobTemplate.spec")
    errors += all_not_negative(spec, "spec", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
    return errors if schedule else [*errors, required("spec.schedule")]
