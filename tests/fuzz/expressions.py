"""Targets: CEL, JSONPath, the expressions of policies, and the answers of webhooks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any

import orjson

from tenantry.apiserver.admission.webhooks.review_document import InvalidPatch, decode_response, denial
from tenantry.apiserver.body_decoding import parse_at_once
from tenantry.apiserver.decoding import normalise
from tenantry.apiserver.negotiation import JSON
from tenantry.http.answer_head import AnswerHead
from tenantry.http.head import head
from tenantry.kube import jsonpath
from tenantry.kube.admission.evaluation import Allowance, Inputs, KnownAnswers
from tenantry.kube.admission.forms import form_of
from tenantry.kube.admission.mutating import MutationFailed, mutate
from tenantry.kube.admission.mutating import policy_of as mutating_policy
from tenantry.kube.admission.mutation_values import Growth, MutationTooLarge
from tenantry.kube.admission.validating import policy_of, validate
from tenantry.kube.go_decode import Mismatch
from tenantry.kube.patch.json_patch import OperationFailed, apply_operations
from tenantry.kube.printer_columns import columns_of
from tenantry.kube.schema import cel
from tenantry.kube.schema.cel_check import check
from tenantry.kube.schema.cel_cost import estimate
from tenantry.kube.schema.cel_declared import Declarations, Declared
from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.cel_expression import to_json
from tenantry.kube.schema.cel_library.authorizer import Answer
from tenantry.kube.schema.cel_values import Cost, CostExceeded
from tenantry.kube.schema.parse import from_openapi
from tenantry.kube.schema.structural import Schema
from tenantry.kube.status import StatusError
from tenantry.kube.types import config_map, mutating_admission_policy, validating_admission_policy
from tenantry.kube.webhook_answer import InvalidAnswer
from tests.fuzz.decoders import TESTS, text_of
from tests.fuzz.targets import Target

_CEL = TESTS / "cases" / "cel"
_ADMISSION = TESTS / "cases" / "admission"
_EVERY = 9
"""Each of so many recorded cases is a seed."""
_SELF = {
    "type": "object",
    "properties": {
        "i": {"type": "integer"},
        "n": {"type": "number"},
        "b": {"type": "boolean"},
        "s": {"type": "string", "maxLength": 64},
        "t": {"type": "string", "format": "date-time"},
        "d": {"type": "string", "format": "duration"},
        "y": {"type": "string", "format": "byte"},
        "q": {"x-kubernetes-int-or-string": True},
        "l": {"type": "array", "maxItems": 8, "items": {"type": "integer"}},
        "w": {"type": "array", "maxItems": 8, "items": {"type": "string", "maxLength": 9}, "x-kubernetes-list-type": "set"},
        "m": {"type": "object", "maxProperties": 8, "additionalProperties": {"type": "string", "maxLength": 8}},
        "o": {"type": "object", "properties": {"i": {"type": "integer"}, "s": {"type": "string"}}},
    },
}
_VALUE = {
    "i": 7,
    "n": 1.5,
    "b": True,
    "s": "text",
    "t": "2024-02-29T23:59:60Z",
    "d": "1h2m",
    "y": "AP8=",
    "q": "5%",
    "l": [3, 1, 2],
    "w": ["b", "a"],
    "m": {"k": "v", "x": ""},
    "o": {"i": -1, "s": "é\U0001f600"},
}
_OBJECT = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "a", "namespace": "default", "labels": {"x": "1"}},
    "data": {"k": "v"},
}
_REQUEST: dict[str, Any] = {
    "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
    "resource": {"group": "", "version": "v1", "resource": "configmaps"},
    "name": "a",
    "namespace": "default",
    "operation": "CREATE",
    "userInfo": {"username": "alice", "groups": ["g"]},
    "dryRun": False,
}


@cache
def _declared() -> tuple[Schema, Declarations, Declared]:
    schema, declarations = from_openapi(_SELF), Declarations()
    declared = declarations.of(schema, is_root=False)
    assert declared is not None
    return schema, declarations, declared


def rules() -> Iterator[bytes]:
    estimates = json.loads((_CEL / "estimates.json").read_text())
    yield from (rule.encode() for _, rule, _ in estimates["rows"][::_EVERY])
    formats = json.loads((_CEL / "formats.json").read_text())
    yield from (row[0].encode() for row in formats["texts"][::_EVERY])
    for text in (
        "self.i + 1 > 0 && self.l.all(x, x in [1, 2, 3])",
        "self.m.map(k, v, [k, v]).size() > 1 ? self.o.?i.orValue(2) == 2 : has(self.s)",
        "self.t > timestamp('2020-01-01T00:00:00Z') + self.d && self.t.getDayOfYear('Europe/Berlin') > 1",
        "quantity('1Gi').add(5).isGreaterThan(quantity('1')) && semver('1.2.3').isLessThan(semver('2.0.0-a'))",
        "ip('::1').isLoopback() && cidr('10.0.0.0/8').containsIP('10.1.1.1') && url('http://a/b').getHost() == 'a'",
        "self.s.matches('^[a-z]+$') && self.s.replace('t', 'x', 1).split('').join(',').lowerAscii().charAt(0) == 'x'",
        "'%d %s %x %.3f %e %b'.format([1, [self.s, {'a': 1}], b'x', 1.5, 2.5, true])",
        "sets.contains(self.l, [1]) && math.greatest(self.l) > 2 && self.l.sort().slice(0, 2).sum() == 3",
        "base64.decode(string(self.y)) == b'x' || bytes(self.s).size() == 4u || double(self.i) / 2.0 > 1e300",
    ):
        yield text.encode()


def run_rule(data: bytes) -> None:
    """What is checked and estimated runs, or fails as expressions do. It gives the same twice, for the same cost."""
    text = text_of(data)
    _, declarations, declared = _declared()
    try:
        checked = check(text, {"self": declared.type, "oldSelf": declared.type}, declarations.structs)
    except CelError as error:
        str(error).encode(errors="surrogatepass")
    else:
        assert estimate(checked, declared) >= 0
    try:
        program = cel.Program(text)
    except CelError:
        return
    outcomes = [_outcome(program) for _ in range(2)]
    assert outcomes[0] == outcomes[1]


def _outcome(program: cel.Program) -> tuple[str, int]:
    schema, _, _ = _declared()
    convert, budget = cel.converter(schema), cel.Budget(100_000)
    assert convert is not None
    try:
        result = program.run(convert(_VALUE, {}), budget=budget)
        return repr(to_json(Cost(100_000), result)), budget.left
    except (CelError, cel.BudgetExceeded, CostExceeded) as error:
        return str(error), budget.left


def paths() -> Iterator[bytes]:
    for text in (
        ".s",
        ".l[*]",
        "..s",
        ".l[0:2:1]",
        "['m','o'].k",
        ".l[?(@>1)]",
        '{.o.i}{"x"}',
        "{range .l[*]}{@}{end}",
        ".m.*",
        ".o['i']",
    ):
        yield text.encode()


def follow_path(data: bytes) -> None:
    """A path is refused, or finds values; columns show any of them."""
    text = text_of(data)
    with suppress(ValueError):
        jsonpath.field_names(text)
    try:
        find = jsonpath.compile_path(text)
    except ValueError:
        return
    found = find(_VALUE)
    assert found == find(_VALUE)
    jsonpath.first(text)(_VALUE)
    for kind in ("string", "integer", "number", "boolean", "date"):
        for column in columns_of([{"name": "x", "type": kind, "jsonPath": text}]):
            orjson.dumps(column.cell({**_VALUE, "metadata": {"name": "a"}}, datetime(2024, 1, 1, tzinfo=UTC)))


def _sent(definition: Any, spec: Any) -> Any:
    """A policy as it is stored, or None where it is refused."""
    obj = {"metadata": {"name": "x"}, "spec": spec}
    try:
        normalise(definition, definition.versions[definition.storage_version], obj)
    except (Mismatch, StatusError):
        return None
    definition.strategy.prepare_for_create(obj)
    for error in definition.strategy.validate(obj, None, ""):
        error.text.encode(errors="surrogatepass")
        return None
    return obj["spec"]


def _json_of(data: bytes) -> Any:
    try:
        return parse_at_once(data, JSON, "", False)[0]
    except StatusError:
        return None


def validating() -> Iterator[bytes]:
    lines = (_ADMISSION / "validating_policies.jsonl").read_text().strip().split("\n")
    for line in lines[::_EVERY]:
        case = json.loads(line)
        if case.get("kind") == "ValidatingAdmissionPolicy":
            yield orjson.dumps(case["spec"])
    match = {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["*"]}]}
    checks = [{"expression": "object.data.k == variables.v", "messageExpression": "'x' + request.name", "reason": "Forbidden"}]
    more = {
        "variables": [{"name": "v", "expression": "object.metadata.labels.x"}],
        "matchConditions": [{"name": "c", "expression": "request.operation == 'CREATE'"}],
        "auditAnnotations": [{"key": "a", "valueExpression": "string(object.data.size())"}],
    }
    yield orjson.dumps({"matchConstraints": match, "validations": checks, "failurePolicy": "Fail", **more})


def run_validating(data: bytes) -> None:
    spec = _json_of(data)
    stored = _sent(validating_admission_policy.POLICIES, spec) if isinstance(spec, dict) else None
    if stored is not None:
        validate(policy_of(stored), _inputs(), Allowance(at_once=False))


def _inputs() -> Inputs:
    namespace = {"metadata": {"name": "default"}}
    return Inputs(object=_OBJECT, old_object=None, request=_REQUEST, params=None, namespace=namespace, answers=_AnyAnswer())


class _AnyAnswer(KnownAnswers):
    def answer(self, question: Any) -> Any:
        return Answer(len(repr(question)) % 2 == 0, "because")


def mutating() -> Iterator[bytes]:
    lines = (_ADMISSION / "mutations.jsonl").read_text().strip("\n").split("\n")
    match = {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]}
    shared = {"matchConstraints": match, "failurePolicy": "Fail", "reinvocationPolicy": "Never"}
    for line in lines[1::_EVERY]:
        texts = json.loads(line).get("mutations") or []
        made = [_mutation(text) for text in texts if isinstance(text, str)]
        if made:
            yield orjson.dumps(shared | {"mutations": made})
    for text in (
        '[JSONPatch{op: "add", path: "/data/x", value: "1"}]',
        'Object{data: {"a": "b"}, metadata: Object.metadata{labels: {}}}',
    ):
        yield orjson.dumps(shared | {"mutations": [_mutation(text)]})


def _mutation(text: str) -> dict[str, Any]:
    if text.startswith("["):
        return {"patchType": "JSONPatch", "jsonPatch": {"expression": text}}
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": text}}


def run_mutating(data: bytes) -> None:
    spec = _json_of(data)
    stored = _sent(mutating_admission_policy.POLICIES, spec) if isinstance(spec, dict) else None
    if stored is None:
        return
    definition = config_map.DEFINITION
    form = form_of(definition, definition.versions["v1"])
    try:
        result = mutate(
            mutating_policy(stored), json.loads(json.dumps(_OBJECT)), form, _inputs(), Allowance(at_once=False), Growth()
        )
        if not any(each.error for each in result.attempts):
            form.finish(result.object)
    except (MutationFailed, MutationTooLarge, StatusError):
        return
    orjson.dumps(result.object)


def responses() -> Iterator[bytes]:
    patch = "W3sib3AiOiJhZGQiLCJwYXRoIjoiL2RhdGEveCIsInZhbHVlIjoiMSJ9XQ=="
    for more in (
        {},
        {"patch": patch, "patchType": "JSONPatch"},
        {"status": {"code": 403, "message": "no", "reason": "Forbidden"}},
    ):
        response = {"uid": "u", "allowed": not more.get("status"), "warnings": ["w"], "auditAnnotations": {"k": "v"}, **more}
        yield orjson.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})


def read_response(data: bytes) -> None:
    for version, mutates in (("v1", True), ("v1", False), ("v1beta1", True)):
        try:
            response = decode_response(data, version=version, uid="u", mutating=mutates)
            document = apply_operations(_OBJECT, response.operations)
            refused = denial("x", response.status)
        except (InvalidAnswer, InvalidPatch, OperationFailed, StatusError) as error:
            str(error).encode(errors="surrogatepass")
            continue
        orjson.dumps([document, refused.to_object()])
        sent = head(
            refused.code, content_type="", request_id="x", date="", headers=refused.headers, content_length=0, close=False
        )
        lines = sent.split(b"\r\n")
        assert AnswerHead().parse_status(lines[0]), lines[0]
        assert lines[1] == b"Audit-Id: x", lines


_CEL_WORDS = (
    "self.",
    ".all(x, ",
    ".map(x, ",
    ".format([",
    "timestamp('",
    "duration('",
    "quantity('",
    "has(",
    "optional.of(",
    "object.",
)

TARGETS = (
    Target(name="cel", run=run_rule, seeds=rules, words=_CEL_WORDS),
    Target(name="jsonpath", run=follow_path, seeds=paths, words=("[?(@.", "{range ", "{end}", "..", "[*]", "[-1:]", "\\u00e9")),
    Target(name="validating-policies", run=run_validating, seeds=validating, json_at=0, words=_CEL_WORDS),
    Target(name="mutating-policies", run=run_mutating, seeds=mutating, json_at=0, words=(*_CEL_WORDS, "JSONPatch{", "Object{")),
    Target(name="webhook-answers", run=read_response, seeds=responses, json_at=0, words=("JSONPatch", "v1beta1")),
)
