"""Answers of webhooks that are read in one step, against the same answers as all others are read."""

from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tenantry.apiserver.admission.webhooks import review_document
from tenantry.apiserver.admission.webhooks.review_document import InvalidPatch, decode_response
from tenantry.kube.webhook_answer import InvalidAnswer

PATCHES = ("", "W10=", "W3sib3AiOiJyZW1vdmUiLCJwYXRoIjoiL2EifV0=", "bnVsbA==", "e30=", "W10", "W1 0=", "%%%%", "-_8=")
STATUS = {"status": "Success", "metadata": {}, "code": 200}


def mostly(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    return st.just(usual) | st.sampled_from((usual, *others, None, 1, "x", [], {}))


RESPONSES = st.fixed_dictionaries(
    {"uid": mostly("u"), "allowed": mostly(True, False)},
    optional={
        "patch": mostly("W10=", *PATCHES),
        "patchType": mostly("JSONPatch", ""),
        "status": mostly(STATUS, {"code": 1 << 40}, {"code": 1.0}, {"message": 1}, {"details": {"name": "a"}}),
        "auditAnnotations": mostly({"a": "b"}, {"a": 1}),
        "warnings": mostly(["a"], [1]),
        "other": mostly("x"),
    },
)
REVIEWS = st.fixed_dictionaries(
    {"response": RESPONSES | st.none()},
    optional={
        "apiVersion": mostly("admission.k8s.io/v1", "admission.k8s.io/v1beta1", ""),
        "kind": mostly("AdmissionReview", ""),
        "request": mostly({"uid": "u"}),
    },
)


def outcome(body: bytes, version: str, mutating: bool) -> Any:
    try:
        return decode_response(body, version=version, uid="u", mutating=mutating)
    except (InvalidAnswer, InvalidPatch) as error:
        return type(error), str(error), getattr(error, "read", None)


@given(review=REVIEWS, version=st.sampled_from(("v1", "v1beta1")), mutating=st.booleans())
@example({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {"uid": "u", "allowed": True}}, "v1", False)
@example(
    {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": "u", "allowed": True, "patch": "%%%%", "patchType": "JSONPatch"},
    },
    "v1",
    True,
)
def test_ordinary_answers_say_what_all_answers_say(review: Any, version: str, mutating: bool) -> None:
    body = orjson.dumps(review)
    found = outcome(body, version, mutating)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(review_document, "_ordinary", lambda body, uid: None)
        assert found == outcome(body, version, mutating)


def test_an_ordinary_answer_is_read_in_one_step() -> None:
    response = {"uid": "u", "allowed": True, "status": STATUS, "warnings": ["w"]}
    body = orjson.dumps({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response})
    assert review_document._ordinary(body, "u") is not None
