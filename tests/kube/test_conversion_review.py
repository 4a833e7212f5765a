"""What is sent to a conversion webhook, and what of its answer is taken. All its mistakes, with the texts of Kubernetes, are in
tests/e2e/test_conversion.py."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.kube.conversion import webhook_conversion
from tenantry.kube.conversion_review import (
    CALL_FAILED,
    INVALID_OBJECT,
    MALFORMED,
    PARTIAL,
    ConversionFailed,
    converted,
    encode_review,
    read_answer,
)
from tenantry.kube.objects import Object
from tests.clients import conversion
from tests.clients.conversion import converts

KIND = "x.example/v1, Kind=Thing"
YAML_HEAD = b"apiVersion: apiextensions.k8s.io/v1\nkind: ConversionReview\n"


def original(**metadata: object) -> Object:
    return {
        "apiVersion": "x.example/v1",
        "kind": "Thing",
        "metadata": {"name": "a", "uid": "u", "annotations": {"kcp.io/cluster": "one", "b": "c"}, **metadata},
        "spec": {"size": "3"},
    }


def answer(version: str = "v1", **response: object) -> bytes:
    review = orjson.loads(encode_review(version, "1", "x.example/v2", [original()]))
    return orjson.dumps({**review, "request": None, "response": {"uid": "1", **converts(review), **response}})


def test_a_review_is_what_upstream_sends() -> None:
    review = orjson.loads(encode_review("v1", "1", "x.example/v2", [original()]))
    assert review == {
        "kind": "ConversionReview",
        "apiVersion": "apiextensions.k8s.io/v1",
        "request": {"uid": "1", "desiredAPIVersion": "x.example/v2", "objects": [original()]},
        "response": {"uid": "", "convertedObjects": None, "result": {"metadata": {}}},
    }


def test_an_answer_in_json_or_yaml() -> None:
    (text,) = read_answer(answer(), "v1", "1", KIND, 1)
    assert orjson.loads(text)["spec"] == {"count": 3}
    yaml = b"response:\n  uid: '1'\n  result: {status: Success}\n"
    assert read_answer(YAML_HEAD + yaml, "v1", "1", KIND, 0) == ()


@pytest.mark.parametrize(
    ("body", "failure", "text"),
    [
        (answer(uid="2"), MALFORMED, f'conversion webhook for {KIND} failed: expected response.uid="1", got "2"'),
        (answer(convertedObjects=[]), PARTIAL, f"conversion webhook for {KIND} returned 0 objects, expected 1"),
        (answer(result={"status": "Failure", "message": "no"}), MALFORMED, f"conversion webhook for {KIND} failed: no"),
        (
            answer(result={"status": "Odd"}),
            MALFORMED,
            f"conversion webhook for {KIND} failed: response.result.status was 'Odd', not 'Success'",
        ),
        (YAML_HEAD, MALFORMED, f"conversion webhook for {KIND} failed: no response provided"),
        (answer(result={}), MALFORMED, f"conversion webhook for {KIND} failed: response.result.status was '', not 'Success'"),
        (
            answer("v1beta1"),
            CALL_FAILED,
            f"conversion webhook for {KIND} failed: "
            "converting (v1beta1.ConversionReview) to (v1.ConversionReview): unknown conversion",
        ),
    ],
)
def test_answers_that_are_refused(body: bytes, failure: str, text: str) -> None:
    with pytest.raises(ConversionFailed) as refused:
        read_answer(body, "v1", "1", KIND, 1)
    assert (refused.value.failure, str(refused.value)) == (failure, text)


def test_v1beta1_is_not_asked_for_its_uid() -> None:
    assert len(read_answer(answer("v1beta1", uid="2"), "v1beta1", "1", KIND, 1)) == 1


@given(
    st.dictionaries(st.text(max_size=8), st.none() | st.integers(-9, 9) | st.text(max_size=8), max_size=4),
    st.none() | st.dictionaries(st.from_regex(r"\A[a-z]{1,8}\Z"), st.from_regex(r"\A[a-z]{0,8}\Z"), max_size=3),
)
def test_a_webhook_changes_labels_and_annotations_alone(metadata: Object, entries: dict[str, str] | None) -> None:
    """Whatever else it answers is as it was, and the server's annotation stays."""
    before = original(generation=3, finalizers=["x/y"])
    sent = {**metadata, "name": "a", "uid": "u", "namespace": None, "labels": entries, "annotations": entries}
    made = converted(before, orjson.dumps({**before, "apiVersion": "x.example/v2", "metadata": sent}), "x.example/v2", KIND)
    expected = {**before["metadata"], "annotations": {**(entries or {}), "kcp.io/cluster": "one"}}
    assert made["metadata"] == (expected if entries is None else {**expected, "labels": entries})


@pytest.mark.parametrize("field", ["name", "namespace", "uid"])
def test_an_object_stays_the_same(field: str) -> None:
    before = original()
    changed = {**before["metadata"], field: "other"}
    with pytest.raises(ConversionFailed, match="must have the same") as refused:
        converted(before, orjson.dumps({**before, "apiVersion": "x.example/v2", "metadata": changed}), "x.example/v2", KIND)
    assert refused.value.failure == INVALID_OBJECT


@pytest.mark.parametrize("levels", [300, 1015])
@pytest.mark.parametrize("is_yaml", [False, True])
def test_objects_that_nest_more_deeply_than_can_be_written_are_refused(levels: int, is_yaml: bool) -> None:
    deep = b"[" * levels + b"]" * levels
    body = answer().replace(b'"spec":{"count":3}', b'"spec":' + deep)
    assert deep in body
    with pytest.raises(ConversionFailed, match="exceeded"):
        for text in read_answer(b"# YAML\n" * is_yaml + body, "v1", "1", KIND, 1):
            converted(original(), text, "x.example/v2", KIND)


def test_an_object_with_an_api_version_of_three_parts_has_no_kind() -> None:
    with pytest.raises(ConversionFailed, match="Object 'Kind' is missing"):
        converted(original(), orjson.dumps({**original(), "apiVersion": "a/b/c"}), "x.example/v2", KIND)


def test_the_webhook_of_a_definition() -> None:
    crd = conversion.crd("x.example", {"url": "https://x.example/"}, conversionReviewVersions=["v2", "v1beta1", "v1"])
    found = webhook_conversion(crd)
    assert found is not None and (found.name, found.review_version) == ("things.x.example", "v1beta1")
    del crd["spec"]["versions"][1]
    assert webhook_conversion(crd) is None
