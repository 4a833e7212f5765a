import pytest

from tenantry.apiserver.negotiation import (
    JSON,
    PLAIN,
    YAML,
    Representation,
    body_media_type,
    error_response,
    negotiate,
    patch_media_type,
    require_json,
)
from tenantry.apiserver.request import Request
from tenantry.kube.status import StatusError, unauthorized

PROTOBUF = "application/vnd.kubernetes.protobuf"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.mark.parametrize("accept", ["", "*/*", JSON, f"{PROTOBUF},{JSON}", "application/json;q=0.9", "text/html,*/*;q=0.1"])
def test_json_is_what_most_clients_get(accept: str) -> None:
    assert negotiate(accept) == PLAIN


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (YAML, Representation(YAML)),
        (TABLE, Representation(JSON, "Table", "v1")),
        (f"{TABLE},{JSON}", Representation(JSON, "Table", "v1")),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", Representation(JSON, "Table", "v1beta1")),
        (
            "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
            Representation(JSON, "PartialObjectMetadataList", "v1"),
        ),
        (f"application/json;as=Table;v=v9;g=meta.k8s.io,{JSON}", PLAIN),
        (f"application/json;q=0.1,{YAML}", Representation(YAML)),
    ],
)
def test_transformations_and_preferences(accept: str, wanted: Representation) -> None:
    assert negotiate(accept) == wanted


@pytest.mark.parametrize("accept", ["text/html", PROTOBUF, "application/json;as=Table;v=v9;g=meta.k8s.io"])
def test_what_nobody_serves_is_406(accept: str) -> None:
    with pytest.raises(StatusError) as refused:
        negotiate(accept)
    assert refused.value.code == 406
    assert refused.value.message == (
        f"only the following media types are accepted: application/json, application/yaml, {PROTOBUF}"
    )


METADATA = "as=PartialObjectMetadata;v=v1;g=meta.k8s.io"


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (PROTOBUF, Representation(PROTOBUF)),
        (f"{PROTOBUF},{JSON}", Representation(PROTOBUF)),
        (f"{JSON},{PROTOBUF}", PLAIN),
        (f"{JSON};q=0.1,{PROTOBUF};q=0.9", Representation(PROTOBUF)),
        (f"{PROTOBUF};q=0,{JSON}", PLAIN),
        (f"{PROTOBUF};charset=utf-8", Representation(PROTOBUF)),
        (f"{PROTOBUF};{METADATA}", Representation(PROTOBUF, "PartialObjectMetadata", "v1")),
        (f"{PROTOBUF};as=Table;v=v1;g=meta.k8s.io,{JSON}", PLAIN),
        (f"{PROTOBUF};as=None,{YAML}", Representation(YAML)),
    ],
)
def test_protobuf_of_types_that_have_it(accept: str, wanted: Representation) -> None:
    assert negotiate(accept, custom=False, protobuf=True) == wanted
    if wanted.media_type != YAML:
        assert negotiate(accept, custom=False, protobuf=True, watch=True) == wanted


def test_custom_types_have_metadata_alone_in_protobuf() -> None:
    assert negotiate(f"{PROTOBUF};{METADATA}") == Representation(PROTOBUF, "PartialObjectMetadata", "v1")


@pytest.mark.parametrize("accept", [f"{PROTOBUF};as=Table;v=v1;g=meta.k8s.io", f"{PROTOBUF};as=PartialObjectMetadata;v=v1;g=no"])
def test_a_table_is_never_protobuf(accept: str) -> None:
    for watch in (False, True):
        with pytest.raises(StatusError) as refused:
            negotiate(accept, custom=False, protobuf=True, watch=watch)
        assert refused.value.message.endswith(f"accepted: {JSON}, {YAML}, {PROTOBUF}")


def test_media_types_are_written_as_they_are() -> None:
    with pytest.raises(StatusError) as refused:
        negotiate(PROTOBUF.upper(), custom=False, protobuf=True)
    assert refused.value.code == 406


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [(PROTOBUF, PROTOBUF), (f"{PROTOBUF};{METADATA}", JSON), (f"{PROTOBUF};q=0.1,*/*", JSON), (f"{JSON},{PROTOBUF}", JSON)],
)
def test_errors_in_protobuf(accept: str, wanted: str) -> None:
    assert error_response(unauthorized(), request("", accept)).content_type == wanted


@pytest.mark.parametrize("accept", ["", JSON, "text/html,*/*;q=0.8", f"{PROTOBUF},{JSON}"])
def test_documents_in_json_for_those_who_accept_it(accept: str) -> None:
    require_json(request("", accept))


def test_documents_in_json_for_nobody_else() -> None:
    with pytest.raises(StatusError) as refused:
        require_json(request("", PROTOBUF))
    assert (refused.value.code, refused.value.message) == (406, f"406: Not Acceptable\n\nAvailable representations: {JSON}")


def test_built_in_types_are_refused_by_their_route() -> None:
    with pytest.raises(StatusError) as refused:
        negotiate("text/html", custom=False)
    assert refused.value.message == f"406: Not Acceptable\n\nAvailable representations: {JSON}, {YAML}, {PROTOBUF}"
    with pytest.raises(StatusError) as refused:
        negotiate("application/xml", watch=True, custom=False)
    assert refused.value.message.endswith("application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch")


def test_watches_are_not_yaml() -> None:
    with pytest.raises(StatusError) as refused:
        negotiate(YAML, watch=True)
    assert "application/json;stream=watch" in refused.value.message
    assert negotiate("application/json;stream=watch", watch=True) == PLAIN


def request(content_type: str, accept: str = "") -> Request:
    return Request("POST", "/", headers={"content-type": content_type, "accept": accept})


@pytest.mark.parametrize("content_type", ["", JSON, "application/json; charset=utf-8", "Application/JSON"])
def test_bodies_are_json_unless_they_say_otherwise(content_type: str) -> None:
    assert body_media_type(request(content_type)) == JSON


@pytest.mark.parametrize("content_type", ["text/plain", "application/", "application/json,application/yaml"])
def test_unknown_bodies_are_415(content_type: str) -> None:
    with pytest.raises(StatusError) as refused:
        body_media_type(request(content_type))
    assert refused.value.code == 415


def test_strategic_merge_is_for_built_in_types() -> None:
    strategic = request("application/strategic-merge-patch+json")
    assert patch_media_type(strategic, custom=False)
    with pytest.raises(StatusError) as refused:
        patch_media_type(strategic, custom=True)
    assert refused.value.message.endswith(
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    )


def test_refusals_are_written_in_yaml_for_those_who_prefer_it() -> None:
    assert error_response(unauthorized(), request("", YAML)).content_type == YAML
    assert error_response(unauthorized(), request("", f"{JSON},{YAML}")).content_type == JSON
