"""Validates Jobs and CronJobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenantry.kube.field_errors import IMMUTABLE, VALUE_CHARACTERS, invalid, not_supported, required, show, too_long, while_few
from tenantry.kube.label_selector_validation import label_selector_errors
from tenantry.kube.names import dns1123_label_errors, qualified_name_errors
from tenantry.kube.objects import Object, labels_of, name_of
from tenantry.kube.selectors.labels import from_object
from tenantry.kube.status import FieldError, cut
from tenantry.kube.workloads.cron import is_time_zone, schedule_problem
from tenantry.kube.workloads.job_labels import CONTROLLER_UID
from tenantry.kube.workloads.validation.checks import all_not_negative, domain_path_errors, in_order, items, member, one_of
from tenantry.kube.workloads.validation.pods import template_errors

_INDEXES_MAX, _MANY_MAX = 100_000, 10_000
_OWNER_BYTES_MAX = 63
_REPLACEMENTS = ("Failed", "TerminatingOrFailed")
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_COMPLETION_MODES = ("NonIndexed", "Indexed")
_CONCURRENCY = ("Allow", "Forbid", "Replace")
_CRON_NAME_CHARACTERS = 52
_RESTART = 'valid values: "OnFailure", "Never"'


def job_errors(obj: Object, old: Object | None) -> list[FieldError]:
    spec = obj["spec"]
    selector, labels = spec.get("selector"), labels_of(spec["template"])
    errors = _generated_errors(obj, spec) if old is None and not spec.get("manualSelector") else []
    errors += job_spec_errors(spec, "spec")
    errors += [required("spec.selector")] if selector is None else label_selector_errors(selector, "spec.selector")
    try:
        matches = selector is not None and from_object(selector).matches(labels)
    except ValueError:
        matches = True
    if not matches:
        errors.append(
            invalid("spec.template.metadata.labels", in_order(labels) or None, "`selector` does not match template `labels`")
        )
    if old is not None:
        errors += _update_errors(spec, old["spec"])
    return errors + _host_name_errors(obj)


def _host_name_errors(obj: Object) -> list[FieldError]:
    """The name of the last Pod of an indexed Job is a label (validateNameAllowsCompletions)."""
    spec, name = obj["spec"], name_of(obj)
    count = spec.get("completions") or 0
    last = f"{name}-{count - 1}"
    if spec.get("completionMode") != "Indexed" or count <= 0 or not dns1123_label_errors(last):
        return []
    return [invalid("metadata.name", name, f"will not able to create pod with invalid DNS label: {cut(last, VALUE_CHARACTERS)}")]


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
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        errors.append(required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    owner = spec.get("managedBy")
    if owner is not None:
        errors += domain_path_errors(owner, f"{path}.managedBy")
        if len(owner.encode()) > _OWNER_BYTES_MAX:
            errors.append(too_long(f"{path}.managedBy", _OWNER_BYTES_MAX))
    mode = spec.get("completionMode")
    errors += member(mode, f"{path}.completionMode", _COMPLETION_MODES)
    if mode == "Indexed":
        errors += _indexed_errors(spec, path)
    elif mode in (None, "NonIndexed"):
        text = "requires indexed completion mode"
        names = ("backoffLimitPerIndex", "maxFailedIndexes")
        errors += [invalid(f"{path}.{name}", spec[name], text) for name in names if spec.get(name) is not None]
    for here, rule in while_few(errors, items(spec.get("podFailurePolicy") or {}, "rules", f"{path}.podFailurePolicy")):
        errors += _failure_rule_errors(rule, here)
    replacements = _REPLACEMENTS if "podFailurePolicy" not in spec else ("Failed",)
    errors += member(spec.get("podReplacementPolicy"), f"{path}.podReplacementPolicy", replacements)
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


def _indexed_errors(spec: Object, path: str) -> list[FieldError]:
    """The errors of the counts of an indexed Job."""
    completions, parallelism, failed = (spec.get(name) for name in ("completions", "parallelism", "maxFailedIndexes"))
    errors: list[FieldError] = []
    if completions is None:
        errors.append(required(f"{path}.completions", "when completion mode is Indexed"))
    if parallelism is not None and parallelism > _INDEXES_MAX:
        text = f"must be less than or equal to {_INDEXES_MAX} when completion mode is Indexed"
        errors.append(invalid(f"{path}.parallelism", parallelism, text))
    if completions is not None and failed is not None and failed > completions:
        errors.append(invalid(f"{path}.maxFailedIndexes", failed, "must be less than or equal to completions"))
    if failed is not None and failed > _INDEXES_MAX:
        errors.append(invalid(f"{path}.maxFailedIndexes", failed, f"must be less than or equal to {_INDEXES_MAX}"))
    if (completions or 0) > _INDEXES_MAX and spec.get("backoffLimitPerIndex") is not None:
        if failed is None:
            text = f"must be specified when completions is above {_INDEXES_MAX}"
            errors.append(required(f"{path}.maxFailedIndexes", text))
        text = f"completions are above {_INDEXES_MAX} and used with backoff limit per index"
        for name, count in (("parallelism", parallelism), ("maxFailedIndexes", failed)):
            if count is not None and count > _MANY_MAX:
                errors.append(invalid(f"{path}.{name}", count, f"must be less than or equal to {_MANY_MAX} when {text}"))
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
    errors: list[FieldError] = []
    completions = spec.get("completions")
    if spec.get("completionMode") != "Indexed":
        errors += _fixed_errors(spec, old, "completions")
    elif completions is not None and completions not in (old.get("completions"), spec.get("parallelism")):
        text = "can only be modified in tandem with spec.parallelism"
        errors.append(invalid("spec.completions", completions, text))
    errors += _fixed_errors(spec, old, "selector")
    if spec["template"] != old["template"] and not (old.get("suspend") and _same_work(spec["template"], old["template"])):
        errors.append(FieldError("Invalid", "spec.template", f"Invalid value: {_brief(spec['template'])}: {IMMUTABLE}"))
    names = ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy")
    return errors + _fixed_errors(spec, old, *names)


def _fixed_errors(spec: Object, old: Object, *names: str) -> list[FieldError]:
    return [invalid(f"spec.{name}", spec.get(name), IMMUTABLE) for name in names if spec.get(name) != old.get(name)]


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
