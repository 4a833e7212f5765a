"""A target: what webhooks answer when they are asked to convert objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from tenantry.kube.codec import json_codec
from tenantry.kube.conversion_review import ConversionFailed, converted, read_answer
from tenantry.kube.objects import CLUSTER_ANNOTATION, Object
from tests.fuzz.targets import Target

_REVIEW_VERSIONS = ("v1", "v1beta1")
_KIND = "example.com/v1, Kind=Thing"
_DESIRED = "example.com/v2"
_UID = "b6e4d2f0-0d5e-4c54-9a53-1a6f0f6f4f11"
_TEXT_BYTES_MAX = 16
"""An error shows at most so many times the bytes of an answer: it repeats a text of it, quoted."""


def _sent(name: str) -> Object:
    metadata = {
        "name": name,
        "namespace": "n",
        "uid": f"of-{name}",
        "resourceVersion": "1",
        "labels": {"a": "b"},
        "annotations": {CLUSTER_ANNOTATION: "root", "c": "d"},
    }
    return {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": metadata, "spec": {"a": 1}}


_SENT = (_sent("x"), _sent("y"))


def _review(objects: list[Any], **response: Any) -> Object:
    answer = {"uid": _UID, "result": {"status": "Success"}, "convertedObjects": objects} | response
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "response": answer}


def answers() -> Iterator[bytes]:
    """A choice of the version that is asked for, and the body of an answer."""
    made = [{**obj, "apiVersion": _DESIRED, "spec": {"a": "1", "b": [1.5, None, True]}} for obj in _SENT]
    relabelled = [{**obj, "metadata": {**obj["metadata"], "labels": {"e/f": "g"}, "annotations": None}} for obj in made]
    failure = {"status": "Failure", "message": "no", "reason": "Invalid", "details": {"causes": [{"field": "a"}]}, "code": 422}
    reviews: list[Object] = [
        _review(made),
        _review(relabelled),
        _review(made[:1]),
        _review([], result=failure),
        _review([{**obj, "metadata": {"name": obj["metadata"]["name"]}} for obj in made]),
        {"apiVersion": "apiextensions.k8s.io/v1beta1", "kind": "ConversionReview", "response": _review(made)["response"]},
        {"apiVersion": "v1", "kind": "Status", **failure},
    ]
    for review in reviews:
        yield bytes(("v1beta1" in review["apiVersion"],)) + orjson.dumps(review)
    yield b"\x00" + orjson.dumps(_review(made)).replace(b"1.5", b"1e400").replace(b'"1"', b"123456789012345678901234567890")
    head = (
        f"apiVersion: apiextensions.k8s.io/v1\nkind: ConversionReview\nresponse:\n  uid: {_UID}\n  result: {{status: Success}}\n"
    )
    objects = "".join(f"  - {orjson.dumps(obj).decode()}\n" for obj in made)
    yield b"\x00" + f"{head}  convertedObjects:\n{objects}".encode()
    for levels in (600, 1015):
        yield b"\x00" + orjson.dumps(_review(made)).replace(b"[1.5", b"[" * levels + b"1" + b"]" * levels + b",[1.5")


def read(data: bytes) -> None:
    """An answer is refused in a text, or it makes of each object one that is the same but for what a webhook may change."""
    if not data:
        return
    body = data[1:]
    try:
        texts = read_answer(body, _REVIEW_VERSIONS[data[0] & 1], _UID, _KIND, len(_SENT))
    except ConversionFailed as failed:
        _told(failed, body)
        return
    assert len(texts) == len(_SENT)
    for obj, text in zip(_SENT, texts, strict=True):
        try:
            made = converted(obj, text, _DESIRED, _KIND)
        except ConversionFailed as failed:
            _told(failed, body)
            continue
        assert (made["apiVersion"], made["kind"]) == (_DESIRED, obj["kind"])
        assert _unchangeable(made) == _unchangeable(obj), "only labels and annotations of the metadata are the webhook's"
        assert made["metadata"]["annotations"][CLUSTER_ANNOTATION] == "root", "no webhook moves an object to another cluster"
        written = orjson.dumps(made)
        assert json_codec.decode(written)[0] == made
        assert converted(obj, written, _DESIRED, _KIND) == made, "what is read twice is as what is read once"


def _told(failed: ConversionFailed, body: bytes) -> None:
    text = str(failed)
    assert text and failed.failure
    assert len(text.encode(errors="surrogatepass")) <= 1024 + _TEXT_BYTES_MAX * len(body)


def _unchangeable(obj: Object) -> Object:
    return {name: value for name, value in obj["metadata"].items() if name not in ("labels", "annotations")}


_WORDS = ("convertedObjects", "response", "result", "status: Success", "apiextensions.k8s.io/v1beta1", CLUSTER_ANNOTATION, _UID)
TARGETS = (Target(name="conversions", run=read, seeds=answers, json_at=1, words=_WORDS),)
