"""Validates where Pods may run: affinities, tolerations, and how they spread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tenantry.kube.field_errors import duplicate, invalid, required, while_few
from tenantry.kube.label_selector_validation import label_selector_errors
from tenantry.kube.names import label_value_errors, qualified_name_errors
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError
from tenantry.kube.workloads.validation.checks import items, member, one_of

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_WHEN_UNSATISFIABLE = ("DoNotSchedule", "ScheduleAnyway")
_REQUIRED, _PREFERRED = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"
_WEIGHT_RANGE = "must be in the range 1-100"
_EMPTY_KEY = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'


def toleration_errors(spec: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for here, each in while_few(errors, items(spec, "tolerations", path)):
        key, operator, value = each.get("key") or "", each.get("operator") or "", each.get("value") or ""
        if key:
            errors += [invalid(f"{here}.key", key, text) for text in qualified_name_errors(key)]
        elif operator != "Exists":
            errors.append(invalid(f"{here}.operator", operator, _EMPTY_KEY))
        if "tolerationSeconds" in each and each.get("effect") != "NoExecute":
            text = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            errors.append(invalid(f"{here}.effect", each.get("effect") or "", text))
        if operator in ("", "Equal"):
            errors += [invalid(f"{here}.operator", value, text) for text in label_value_errors(value)]
        elif operator == "Exists":
            if value:
                errors.append(invalid(f"{here}.operator", value, "value must be empty when `operator` is 'Exists'"))
        else:
            errors += one_of(operator, f"{here}.operator", ("Equal", "Exists"))
        errors += one_of(each.get("effect"), f"{here}.effect", EFFECTS)
    return errors


def spread_errors(spec: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: dict[tuple[str, str], str] = {}
    for here, each in while_few(errors, items(spec, "topologySpreadConstraints", path)):
        if each.get("maxSkew", 0) <= 0:
            errors.append(invalid(f"{here}.maxSkew", each.get("maxSkew", 0), "must be greater than zero"))
        key, when = each.get("topologyKey") or "", each.get("whenUnsatisfiable") or ""
        if not key:
            errors.append(required(f"{here}.topologyKey", "can not be empty"))
        errors += member(when, f"{here}.whenUnsatisfiable", _WHEN_UNSATISFIABLE)
        first = seen.setdefault((key, when), here)
        if first != here:
            errors.append(duplicate(f"{first}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {when}}}"))
        if "labelSelector" in each:
            errors += label_selector_errors(each["labelSelector"], f"{here}.labelSelector")
    return errors


def affinity_errors(affinity: Object, path: str) -> list[FieldError]:
    errors = list(_node_affinity(affinity.get("nodeAffinity") or {}, f"{path}.nodeAffinity"))
    for name in ("podAffinity", "podAntiAffinity"):
        errors += _pod_affinity(affinity.get(name) or {}, f"{path}.{name}")
    return errors


def _node_affinity(affinity: Object, path: str) -> Iterator[FieldError]:
    wanted = affinity.get(_REQUIRED)
    if wanted is not None:
        here = f"{path}.{_REQUIRED}"
        if not wanted.get("nodeSelectorTerms"):
            yield required(f"{here}.nodeSelectorTerms", "must have at least one node selector term")
        for term_path, term in items(wanted, "nodeSelectorTerms", here):
            yield from node_term_errors(term, term_path)
    for here, each in items(affinity, _PREFERRED, path):
        if not 1 <= each.get("weight", 0) <= 100:
            yield invalid(f"{here}.weight", each.get("weight", 0), _WEIGHT_RANGE)
        yield from node_term_errors(each.get("preference") or {}, f"{here}.preference")


def node_term_errors(term: Object, path: str) -> Iterable[FieldError]:
    for name in ("matchExpressions", "matchFields"):
        for here, each in items(term, name, path):
            operator, values = each.get("operator") or "", each.get("values") or ()
            if operator in ("In", "NotIn"):
                if not values:
                    yield required(f"{here}.values", "must be specified when `operator` is 'In' or 'NotIn'")
            elif operator in ("Exists", "DoesNotExist"):
                if values:
                    text = "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                    yield FieldError("Forbidden", f"{here}.values", text)
            elif operator in ("Gt", "Lt"):
                if len(values) != 1:
                    yield required(f"{here}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
            else:
                yield invalid(f"{here}.operator", operator, "not a valid selector operator")
            for text in qualified_name_errors(each.get("key") or "") if name == "matchExpressions" else ():
                yield invalid(f"{here}.key", each.get("key") or "", text)


def _pod_affinity(affinity: Object, path: str) -> Iterator[FieldError]:
    for here, term in items(affinity, _REQUIRED, path):
        yield from _pod_term(term, here)
    for here, each in items(affinity, _PREFERRED, path):
        if not 1 <= each.get("weight", 0) <= 100:
            yield invalid(f"{here}.weight", each.get("weight", 0), _WEIGHT_RANGE)
        yield from _pod_term(each.get("podAffinityTerm") or {}, f"{here}.podAffinityTerm")


def _pod_term(term: Object, path: str) -> Iterator[FieldError]:
    for name in ("labelSelector", "namespaceSelector"):
        if name in term:
            yield from label_selector_errors(term[name], f"{path}.{name}")
    key = term.get("topologyKey") or ""
    if not key:
        yield required(f"{path}.topologyKey", "can not be empty")
    for text in qualified_name_errors(key):
        yield invalid(f"{path}.topologyKey", key, text)
