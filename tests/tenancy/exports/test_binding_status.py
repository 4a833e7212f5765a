"""The status of a binding, as a function."""

from __future__ import annotations

from typing import Any

from tenantry.kube.objects import Object
from tenantry.tenancy.exports import conditions, resource_locks
from tenantry.tenancy.exports.binding_status import Names, bound_status, names_in, unresolved_status

NOW = "2026-01-02T03:04:05Z"
LATER = "2026-01-02T03:04:06Z"


def schema(name: str = "v1.cowboys.wild.west", **names: Any) -> Object:
    return {
        "metadata": {"name": name, "uid": f"uid-{name}"},
        "spec": {
            "group": "wild.west",
            "names": {"plural": "cowboys", "singular": "cowboy", "kind": "Cowboy", "listKind": "CowboyList", **names},
            "versions": [{"name": "v1", "storage": True}, {"name": "v2", "storage": False}],
        },
    }


def export(*schemas: str, identity: str = "abc", **spec: Any) -> Object:
    resources = [{"name": s.split(".")[1], "group": "wild.west", "schema": s, "storage": {"crd": {}}} for s in schemas]
    return {
        "metadata": {"name": "cowboys"},
        "spec": {"resources": resources, **spec},
        "status": {"identityHash": identity} if identity else {},
    }


def binding(**status: Any) -> Object:
    return {"metadata": {"name": "b"}, "spec": {"reference": {"export": {"path": "root:p", "name": "cowboys"}}}, "status": status}


COWBOYS = schema()
SCHEMAS = {"v1.cowboys.wild.west": COWBOYS}


def bind(given: Object | None = None, **more: Any) -> Object:
    return bound_status(given or binding(), "rp", export("v1.cowboys.wild.west"), SCHEMAS, now=NOW, **more)


def states(status: Object) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c.get("reason", "")) for c in status["conditions"]}


def test_bound() -> None:
    status = bind()
    assert status["phase"] == "Bound"
    assert status["apiExportClusterName"] == "rp"
    assert status["boundResources"] == [
        {
            "group": "wild.west",
            "resource": "cowboys",
            "schema": {"name": "v1.cowboys.wild.west", "UID": "uid-v1.cowboys.wild.west", "identityHash": "abc"},
            "storageVersions": ["v1"],
        }
    ]
    assert [c["type"] for c in status["conditions"]] == ["Ready", "APIExportValid", "BindingUpToDate", "InitialBindingCompleted"]
    assert {c["status"] for c in status["conditions"]} == {"True"}


def test_again_changes_nothing() -> None:
    first = bind()
    assert bound_status({**binding(), "status": first}, "rp", export("v1.cowboys.wild.west"), SCHEMAS, now=LATER) == first


def test_arguments_are_not_changed() -> None:
    given = binding(conditions=[{"type": "X", "status": "True", "lastTransitionTime": NOW}])
    before = repr(given)
    bind(given)
    assert repr(given) == before


def test_waits_for_identity() -> None:
    status = bound_status(binding(), "rp", export("v1.cowboys.wild.west", identity=""), SCHEMAS, now=NOW)
    assert status["phase"] == "Binding"
    assert states(status)["APIExportValid"] == ("False", "MissingIdentityHash")
    assert states(status)["Ready"] == ("False", "WaitingForEstablished")


def test_waits_for_schema() -> None:
    status = bound_status(binding(), "rp", export("v1.cowboys.wild.west"), {}, now=NOW)
    assert status["phase"] == "Binding"
    assert states(status)["APIExportValid"] == ("False", "InternalError")


def test_lost_export_keeps_what_is_bound() -> None:
    first = bind()
    status = unresolved_status({**binding(), "status": first}, "APIExportNotFound", "gone", now=LATER)
    assert status["phase"] == "Bound"
    assert status["boundResources"] == first["boundResources"]
    assert states(status)["APIExportValid"] == ("False", "APIExportNotFound")
    assert states(status)["Ready"] == ("True", "")


def test_removed_resource_stays_bound() -> None:
    status = bound_status({**binding(), "status": bind()}, "rp", export(), {}, now=LATER)
    assert [r["resource"] for r in status["boundResources"]] == ["cowboys"]


def test_locked_by_other_binding() -> None:
    locked = resource_locks.locked_by_others(resource_locks.parse('{"cowboys.wild.west":{"n":"other"}}'), "b")
    status = bind(locked=locked)
    assert status["phase"] == "Binding"
    assert states(status)["BindingUpToDate"] == ("False", "NamingConflicts")
    assert states(status)["InitialBindingCompleted"] == ("False", "NamingConflicts")
    assert "boundResources" not in status


def test_own_lock_is_no_conflict() -> None:
    assert resource_locks.locked_by_others(resource_locks.parse('{"cowboys.wild.west":{"n":"b"}}'), "b") == {}


def test_names_taken_by_local_definition() -> None:
    taken = [Names('CustomResourceDefinition "x"', "wild.west", "ranches", "ranch", ("cowboy",), "Ranch", "RanchList")]
    status = bind(taken=taken)
    condition = conditions.find(status, "BindingUpToDate")
    assert condition is not None
    assert condition["message"] == (
        'Unable to bind APIs: naming conflict with CustomResourceDefinition "x", spec.names.singular=cowboy is forbidden'
    )


def test_completed_binding_stays_ready_in_conflict() -> None:
    first = bind()
    status = bound_status(
        {**binding(), "status": first},
        "rp",
        export("v1.cowboys.wild.west"),
        SCHEMAS,
        taken=[names_in(schema()["spec"], "something")],
        now=LATER,
    )
    assert states(status)["Ready"] == ("True", "")
    assert states(status)["BindingUpToDate"] == ("False", "NamingConflicts")


def test_storage_versions_accumulate() -> None:
    first = bind()
    first["boundResources"][0]["storageVersions"] = ["v0"]
    status = bound_status({**binding(), "status": first}, "rp", export("v1.cowboys.wild.west"), SCHEMAS, now=LATER)
    assert status["boundResources"][0]["storageVersions"] == ["v0", "v1"]


def test_virtual_storage_has_no_versions() -> None:
    virtual = export("v1.cowboys.wild.west")
    virtual["spec"]["resources"][0]["storage"] = {"virtual": {"reference": {}}}
    status = bound_status(binding(), "rp", virtual, SCHEMAS, now=NOW)
    assert "storageVersions" not in status["boundResources"][0]


def test_locks_come_and_go() -> None:
    bound = bind()["boundResources"]
    annotation = resource_locks.with_locks("", "b", bound)
    assert annotation == '{"cowboys.wild.west":{"n":"b"}}'
    assert resource_locks.with_locks(annotation, "b", bound) is annotation
    assert resource_locks.without_binding(annotation, "other") is annotation
    assert resource_locks.without_binding(annotation, "b") == "{}"
    assert resource_locks.parse("not json") == {}
