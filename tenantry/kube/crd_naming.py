"""Which names a CustomResourceDefinition gets (apiextensions-apiserver's naming controller), as pure functions."""

from __future__ import annotations

from datetime import datetime

from tenantry.kube.objects import Object, timestamp

NAMES_ACCEPTED = "NamesAccepted"
ESTABLISHED = "Established"


def condition(crd: Object, kind: str) -> Object | None:
    """The condition of a type in the status, None where it has none."""
    conditions = (crd.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c.get("type") == kind), None)


def is_condition_true(crd: Object, kind: str) -> bool:
    found = condition(crd, kind)
    return found is not None and found.get("status") == "True"


def accepted_names(crd: Object) -> Object:
    """The names that a definition is served under: the accepted names in its status, else the requested ones."""
    accepted = (crd.get("status") or {}).get("acceptedNames") or {}
    names: Object = crd["spec"]["names"]
    return accepted if accepted.get("plural") and accepted.get("kind") and accepted.get("listKind") else names


class TakenNames:
    """The accepted names of the other definitions in a group."""

    def __init__(self, crd: Object) -> None:
        self.resources: set[str] = set()
        self.kinds: set[str] = set()
        self._group = crd["spec"].get("group")
        self._own = crd.get("metadata", {}).get("name")

    def add(self, other: Object) -> None:
        """Adds another definition. A definition of another group, and the definition itself, are ignored."""
        if other["spec"].get("group") != self._group or other.get("metadata", {}).get("name") == self._own:
            return
        names = (other.get("status") or {}).get("acceptedNames") or {}
        words = (names.get("plural"), names.get("singular"), *(names.get("shortNames") or ()))
        self.resources.update(word for word in words if word)
        self.kinds.update(word for word in (names.get("kind"), names.get("listKind")) if word)


def named_status(crd: Object, taken: TakenNames, now: datetime | None = None) -> Object:
    """The status that a definition should have: acceptedNames and the conditions NamesAccepted and Established. `taken`: the
    names of the others. The rest of the status is kept. `lastTransitionTime` changes only with `status`."""
    wanted: Object = crd["spec"]["names"]
    status: Object = dict(crd.get("status") or {})
    resources, kinds = taken.resources, taken.kinds
    current = status.get("acceptedNames") or {}
    accepted, problem = _accept(wanted, current, resources, kinds)
    status["acceptedNames"] = accepted
    conditions = [dict(c) for c in status.get("conditions") or ()]
    moment = timestamp(now)
    if problem is None:
        _set(conditions, NAMES_ACCEPTED, "True", "NoConflicts", "no conflicts found", moment)
        _set(conditions, ESTABLISHED, "True", "InitialNamesAccepted", "the initial names have been accepted", moment)
    else:
        reason, message = problem
        _set(conditions, NAMES_ACCEPTED, "False", reason, message, moment)
        if not is_condition_true(crd, ESTABLISHED):
            # An established definition stays served, under its current names.
            _set(conditions, ESTABLISHED, "False", "NotAccepted", "not all names are accepted", moment)
    status["conditions"] = conditions
    return status


def _accept(wanted: Object, current: Object, resources: set[str], kinds: set[str]) -> tuple[Object, tuple[str, str] | None]:
    """The accepted names, and the last conflict as (reason, message). The checks are in upstream's order."""
    accepted: Object = {key: value for key, value in current.items() if value}
    problem: tuple[str, str] | None = None

    def clash(name: str, reason: str) -> None:
        nonlocal problem
        problem = (reason, f'"{name}" is already in use')

    for field, reason, taken in (("plural", "PluralConflict", resources), ("singular", "SingularConflict", resources)):
        name = wanted.get(field) or ""
        if name and name in taken:
            clash(name, reason)
        elif name:
            accepted[field] = name
    short_names = wanted.get("shortNames") or []
    used = [n for n in short_names if n in resources]
    if used:
        clash(used[0], "ShortNamesConflict")
    elif short_names:
        accepted["shortNames"] = list(short_names)
    else:
        accepted.pop("shortNames", None)
    for field, reason in (("kind", "KindConflict"), ("listKind", "ListKindConflict")):
        name = wanted.get(field) or ""
        if name and name in kinds:
            clash(name, reason)
        elif name:
            accepted[field] = name
    if wanted.get("categories"):
        accepted["categories"] = list(wanted["categories"])
    else:
        accepted.pop("categories", None)
    accepted.setdefault("kind", "")
    accepted.setdefault("plural", "")
    return accepted, problem


def _set(conditions: list[Object], kind: str, status: str, reason: str, message: str, now: str) -> None:
    fresh: Object = {"type": kind, "status": status, "lastTransitionTime": now, "reason": reason, "message": message}
    for index, existing in enumerate(conditions):
        if existing.get("type") == kind:
            if existing.get("status") == status:
                fresh["lastTransitionTime"] = existing.get("lastTransitionTime") or now
            conditions[index] = fresh
            return
    conditions.append(fresh)
