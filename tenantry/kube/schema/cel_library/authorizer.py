"""Kubernetes' CEL functions of the authorizer (k8s.io/apiserver/pkg/cel/library/authz.go), for expressions of admission.

Questions are values. The caller that evaluates an expression gives it an `Answers` that knows the authorizer.
"""

from __future__ import annotations

from math import ceil
from typing import Any, NamedTuple, Protocol

from tenantry.kube.names import dns1123_label_errors, dns1123_subdomain_errors
from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.cel_functions.arguments import Function, FunctionTable, text_of
from tenantry.kube.schema.cel_library.shared import access_to, opaque
from tenantry.kube.schema.cel_sizes import LIST_COST, MESSAGE_COST
from tenantry.kube.schema.cel_values import Cost, Opaque

AUTHORIZER, PATH_CHECK, GROUP_CHECK = "authorization.Authorizer", "authorization.PathCheck", "authorization.GroupCheck"
RESOURCE_CHECK, DECISION = "authorization.ResourceCheck", "authorization.Decision"
CHECK_COST = 350_000
"""Two checks are the most that one expression can pay for."""


class Question(NamedTuple):
    """What an expression asks an authorizer. `service_account`: (namespace, name) of the subject; None for the user of the
    request. It is about `path` where that is not empty, else about a resource."""

    service_account: tuple[str, str] | None = None
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""
    verb: str = ""


class Answer(NamedTuple):
    """What an authorizer answers. `error` is None where it had none."""

    allowed: bool
    reason: str = ""
    error: str | None = None


class Answers(Protocol):
    def answer(self, question: Question) -> Answer: ...


class _Asked(NamedTuple):
    answers: Answers
    question: Question


def authorizer(answers: Answers) -> Opaque:
    """The value of the variable `authorizer`."""
    return Opaque(AUTHORIZER, _Asked(answers, Question()))


def resource_check(answers: Answers, *, group: str, resource: str, subresource: str, namespace: str, name: str) -> Opaque:
    """The value of the variable `authorizer.requestResource`."""
    asked = Question(group=group, resource=resource, subresource=subresource, namespace=namespace, name=name)
    return Opaque(RESOURCE_CHECK, _Asked(answers, asked))


FUNCTIONS = FunctionTable()


def _narrowed(kind: str, to: str, part: str, *, filled: bool = False) -> Function:
    """A function that adds one part to a question. `kind`: the type that it is a method of, `to`: that of its result. `filled`:
    whether the part may not be blank."""

    def narrow(cost: Cost, value: Any, text: Any) -> Opaque:
        cost.charge(1)
        asked: _Asked = opaque(value, kind)
        if not text_of(text).strip() and filled:
            raise CelError(f"{part} must not be empty")
        return Opaque(to, _with(asked, **{part: text}))

    return narrow


def _selecting(part: str) -> Function:
    def select(cost: Cost, value: Any, selector: Any) -> Opaque:
        asked: _Asked = opaque(value, RESOURCE_CHECK)
        _charge_selector(cost, text_of(selector))
        return Opaque(RESOURCE_CHECK, _with(asked, **{part: selector}))

    return select


FUNCTIONS["path", True] = _narrowed(AUTHORIZER, PATH_CHECK, "path", filled=True)
FUNCTIONS["group", True] = _narrowed(AUTHORIZER, GROUP_CHECK, "group")
FUNCTIONS["resource", True] = _narrowed(GROUP_CHECK, RESOURCE_CHECK, "resource", filled=True)
FUNCTIONS["subresource", True] = _narrowed(RESOURCE_CHECK, RESOURCE_CHECK, "subresource")
FUNCTIONS["namespace", True] = _narrowed(RESOURCE_CHECK, RESOURCE_CHECK, "namespace")
FUNCTIONS["name", True] = _narrowed(RESOURCE_CHECK, RESOURCE_CHECK, "name")
FUNCTIONS["fieldSelector", True] = _selecting("field_selector")
FUNCTIONS["labelSelector", True] = _selecting("label_selector")


@FUNCTIONS.member("serviceAccount")
def _service_account(cost: Cost, value: Any, namespace: Any, name: Any) -> Opaque:
    cost.charge(1)
    asked: _Asked = opaque(value, AUTHORIZER)
    if dns1123_subdomain_errors(text_of(name)):
        raise CelError("Invalid service account name")
    if dns1123_label_errors(text_of(namespace)):
        raise CelError("Invalid service account namespace")
    return Opaque(AUTHORIZER, _with(asked, service_account=(namespace, name)))


@FUNCTIONS.member("check")
def _check(cost: Cost, value: Any, verb: Any) -> Opaque:
    asked: _Asked = opaque(value, PATH_CHECK, RESOURCE_CHECK)
    cost.fixed(CHECK_COST)
    return Opaque(DECISION, asked.answers.answer(asked.question._replace(verb=text_of(verb))))


FUNCTIONS["allowed", True] = access_to(DECISION, lambda answer: answer.allowed)
FUNCTIONS["reason", True] = access_to(DECISION, lambda answer: answer.reason)
FUNCTIONS["errored", True] = access_to(DECISION, lambda answer: answer.error is not None)
FUNCTIONS["error", True] = access_to(DECISION, lambda answer: answer.error or "")


def _with(asked: _Asked, **changes: Any) -> _Asked:
    return _Asked(asked.answers, asked.question._replace(**changes))


def _charge_selector(cost: Cost, selector: str) -> None:
    """A selector is read, and becomes a list of requirements, each of two characters at least."""
    requirements = ceil(len(selector) * 0.5)
    cost.charge(LIST_COST + ceil(len(selector) * 0.1) + requirements * (LIST_COST + MESSAGE_COST))
