"""The strategies of the built-in types."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tenantry.kube.decode import check_types
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.go_decode import Mismatch
from tenantry.kube.objects import Object
from tenantry.kube.types import (
    BUILTINS,
    config_map,
    custom_resource_definition,
    events,
    lease,
    limit_range,
    namespace,
    rbac,
    resource_quota,
    secret,
    service_account,
)

NOW = datetime(2020, 1, 1, 0, 1, tzinfo=UTC)


def created(definition: ResourceDefinition, obj: Object) -> Object:
    """The object as a create leaves it."""
    obj = {"metadata": {"name": "x"}} | obj
    check_types(obj, definition, "v1")
    definition.strategy.default(obj)
    definition.strategy.prepare_for_create(obj)
    return obj


def refusals(definition: ResourceDefinition, obj: Object, old: Object | None = None, subresource: str = "") -> list[str]:
    obj = created(definition, obj) if old is None else obj
    return [error.message for error in definition.strategy.validate(obj, old, subresource)]


def cells(definition: ResourceDefinition, obj: Object) -> list[Any]:
    return [column.cell(obj, NOW) for column in definition.versions["v1"].columns]


def test_every_type_is_consistent() -> None:
    places = [(d.group, d.plural) for d in BUILTINS]
    assert len(places) == len(set(places))
    for definition in BUILTINS:
        assert definition.storage_version in definition.versions
        for version in definition.versions.values():
            assert version.schema.properties["metadata"].ref.endswith("ObjectMeta")
        if not definition.stored:
            assert definition.verbs == ("create",)


def test_namespace_life_cycle() -> None:
    made = created(namespace.DEFINITION, {"spec": {"finalizers": ["example.com/x"]}, "status": {"phase": "Terminating"}})
    assert made == {
        "metadata": {"name": "x", "labels": {"kubernetes.io/metadata.name": "x"}},
        "spec": {"finalizers": ["example.com/x", "kubernetes"]},
        "status": {"phase": "Active"},
    }
    strategy = namespace.DEFINITION.strategy
    assert strategy.holds(made)
    strategy.begin_deletion(made)
    assert namespace.phase_of(made) == "Terminating"
    assert refusals(namespace.DEFINITION, made, made, "status") == [
        "status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"
    ]
    done = {"metadata": {"name": "x"}, "spec": {}, "status": {"phase": "Active"}}
    strategy.prepare_for_update(done, made, "finalize")
    assert done["status"] == made["status"]
    assert not strategy.holds(done)


def test_namespace_updates_keep_spec_and_status() -> None:
    old = created(namespace.DEFINITION, {})
    new: Object = {"metadata": {"name": "x", "labels": {"a": "b"}}, "spec": {}, "status": {}}
    namespace.DEFINITION.strategy.prepare_for_update(new, old, "")
    assert new == old | {"metadata": {"name": "x", "labels": {"a": "b", "kubernetes.io/metadata.name": "x"}}}


def test_config_map_rules() -> None:
    assert refusals(config_map.DEFINITION, {"data": {"a": "v"}, "binaryData": {"a": "dg=="}}) == [
        'data[a]: Invalid value: "a": duplicate of key present in binaryData'
    ]
    assert refusals(config_map.DEFINITION, {"data": {"a": "x" * 600_000, "b": "y" * 600_000}}) == [
        "[]: Too long: may not be more than 1048576 bytes"
    ]
    frozen = {"metadata": {"name": "x"}, "data": {"a": "1"}, "immutable": True}
    text = "Forbidden: field is immutable when `immutable` is set"
    assert refusals(config_map.DEFINITION, frozen | {"data": {"a": "2"}}, frozen) == [f"data: {text}"]
    assert refusals(config_map.DEFINITION, frozen | {"immutable": False}, frozen) == [f"immutable: {text}"]
    assert refusals(config_map.DEFINITION, frozen | {"data": {"a": "1"}}, frozen) == []
    assert cells(config_map.DEFINITION, frozen | {"metadata": {"name": "x", "creationTimestamp": "2020-01-01T00:00:00Z"}}) == [
        "x",
        1,
        "60s",
    ]


def test_string_data_is_merged_and_types_have_keys() -> None:
    made = created(secret.DEFINITION, {"stringData": {"k": "over", "m": "new"}, "data": {"k": "dg==", "l": "dg=="}})
    assert made["data"] == {"k": "b3Zlcg==", "l": "dg==", "m": "bmV3"}
    assert made["type"] == "Opaque"
    assert "stringData" not in made
    assert refusals(secret.DEFINITION, {"type": "kubernetes.io/tls", "data": {"tls.crt": ""}}) == [
        "data[tls.key]: Required value"
    ]
    assert refusals(secret.DEFINITION, {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "dg=="}}) == [
        'data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": '
        "invalid character 'v' looking for beginning of value"
    ]
    assert refusals(secret.DEFINITION, {"type": "kubernetes.io/service-account-token"}) == [
        "metadata.annotations[kubernetes.io/service-account.name]: Required value"
    ]
    pair = {"type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}}
    assert secret.DEFINITION.strategy.warnings(pair, None) == ["tls: failed to find any PEM data in certificate input"]
    assert refusals(secret.DEFINITION, made | {"type": "x/y"}, made) == ['type: Invalid value: "x/y": field is immutable']


def test_service_accounts_keep_names_of_secrets() -> None:
    made = created(service_account.DEFINITION, {"secrets": [{"name": "s", "kind": "Secret", "uid": "u"}]})
    assert made["secrets"] == [{"name": "s"}]


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"leaseDurationSeconds": 0}, "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"),
        ({"leaseTransitions": -1}, "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0"),
    ],
)
def test_leases(spec: Object, text: str) -> None:
    assert refusals(lease.DEFINITION, {"spec": spec}) == [text]


def test_events_have_two_faces() -> None:
    core = created(
        events.CORE_EVENTS, {"involvedObject": {"kind": "ConfigMap", "name": "y"}, "reason": "R", "message": "m", "count": 3}
    )
    new = events.to_new(core)
    assert new["regarding"] == core["involvedObject"]
    assert new["note"] == "m"
    assert new["deprecatedCount"] == 3
    assert "reportingController" not in new
    assert events.to_core(new) == core
    assert cells(events.CORE_EVENTS, core)[1:7] == ["", "R", "configmap/y", "", "", "m"]
    assert cells(events.EVENTS, new)[1:7] == ["", "R", "configmap/y", "", "", "m"]
    version = events.EVENTS.versions["v1"]
    assert version.selectable["regarding.name"](new) == "y"
    assert events.CORE_EVENTS.versions["v1"].selectable["involvedObject.name"](core) == "y"


def test_events_in_their_own_group_are_strict() -> None:
    whole: Object = {
        "eventTime": "2020-01-01T00:00:00.000000Z",
        "reportingController": "example.com/c",
        "reportingInstance": "i",
        "action": "Act",
        "reason": "R",
        "type": "Normal",
    }
    assert refusals(events.EVENTS, whole) == []
    assert refusals(events.EVENTS, whole | {"type": "Frob"}) == ['type: Invalid value: "": has invalid value: Frob']
    assert refusals(events.EVENTS, whole | {"eventTime": None}) == ["eventTime: Required value"]
    assert refusals(events.EVENTS, whole | {"deprecatedCount": 2}) == ['count: Invalid value: "": needs to be unset']
    old = created(events.EVENTS, whole | {"note": "n"})
    assert refusals(events.EVENTS, old | {"note": "other"}, old) == ['message: Invalid value: "other": field is immutable']


def test_core_events_live_beside_what_they_are_about() -> None:
    event = {"metadata": {"name": "x", "namespace": "a"}, "involvedObject": {"namespace": "b"}}
    assert refusals(events.CORE_EVENTS, event) == ['involvedObject.namespace: Invalid value: "b": does not match event.namespace']


SELECTOR = "spec.scopeSelector.matchExpressions"


def selector(*requirements: tuple[str, str, list[str] | None]) -> Object:
    """A scope selector of (scope, operator, values)."""
    made = [{"scopeName": scope, "operator": operator, "values": values} for scope, operator, values in requirements]
    return {"matchExpressions": made}


@pytest.mark.parametrize(
    ("spec", "texts"),
    [
        ({"hard": {"configmaps": "-1"}}, ['spec.hard[configmaps]: Invalid value: "-1": must be greater than or equal to 0']),
        ({"hard": {"configmaps": "1.5"}}, ['spec.hard[configmaps]: Invalid value: "1500m": must be an integer']),
        (
            {"hard": {"frobs": "1"}},
            [
                'spec.hard[frobs]: Invalid value: "frobs": must be a standard resource type or fully qualified',
                'spec.hard[frobs]: Invalid value: "frobs": must be a standard resource for quota',
            ],
        ),
        ({"hard": {"configmaps": "1"}, "scopes": ["Frob"]}, ['spec.scopes: Invalid value: ["Frob"]: unsupported scope']),
        (
            {"hard": {"count/configmaps": "1", "configmaps": "1"}, "scopes": ["Frob", "NotTerminating"]},
            [
                'spec.scopes: Invalid value: ["Frob","NotTerminating"]: unsupported scope',
                'spec.scopes: Invalid value: ["Frob","NotTerminating"]: unsupported scope applied to resource',
            ],
        ),
        ({"hard": {"count/configmaps": "1"}, "scopes": ["NotTerminating"]}, []),
        (
            {"hard": {"configmaps": "1"}, "scopeSelector": selector(("NotTerminating", "Exists", None))},
            [
                f'{SELECTOR}: Invalid value: {{"MatchExpressions":[{{"ScopeName":"NotTerminating","Operator":"Exists",'
                '"Values":null}]}: unsupported scope applied to resource'
            ],
        ),
        (
            {"hard": {"pods": "1"}, "scopeSelector": selector(("Frob", "Foo", ["a"]))},
            [
                f'{SELECTOR}.scopeName: Invalid value: "Frob": unsupported scope',
                f'{SELECTOR}.operator: Invalid value: "Foo": not a valid selector operator',
            ],
        ),
        (
            {"hard": {"pods": "1"}, "scopeSelector": selector(("PriorityClass", "In", None), ("PriorityClass", "Exists", ["a"]))},
            [
                f"{SELECTOR}.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope "
                "selector",
                f"{SELECTOR}.values: Invalid value: [\"a\"]: must be no value when `operator` is 'Exist' or 'DoesNotExist' for "
                "scope selector",
            ],
        ),
        (
            {
                "hard": {"pods": "1"},
                "scopeSelector": selector(("Terminating", "Exists", None), ("NotTerminating", "Exists", None)),
            },
            [f"{SELECTOR}: Invalid value: null: conflicting scopes"],
        ),
        (
            {"hard": {"pods": "1"}, "scopeSelector": selector(("Terminating", "In", ["x"]))},
            [
                f"{SELECTOR}.operator: Invalid value: \"In\": must be 'Exists' when scope is any of "
                "ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
                "ResourceQuotaScopeNotBestEffort or "
                "ResourceQuotaScopeCrossNamespacePodAffinity"
            ],
        ),
        ({"hard": {"count/a.b.c": "1e3", "requests.storage": "1Gi"}}, []),
    ],
)
def test_quotas(spec: Object, texts: list[str]) -> None:
    assert refusals(resource_quota.DEFINITION, {"spec": spec}) == texts


def test_limits_default_and_keep_their_order() -> None:
    made = created(
        limit_range.DEFINITION, {"spec": {"limits": [{"type": "Container", "max": {"cpu": "1500m", "memory": "1024Mi"}}]}}
    )
    bound = {"cpu": "1500m", "memory": "1Gi"}
    assert made["spec"]["limits"] == [{"type": "Container", "max": bound, "default": bound, "defaultRequest": bound}]
    assert refusals(
        limit_range.DEFINITION, {"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}, "default": {"cpu": "2"}}]}}
    ) == [
        'spec.limits[0].defaultRequest[cpu]: Invalid value: "2": default request value 2 is greater than max value 1',
        'spec.limits[0].default[cpu]: Invalid value: "1": default value 2 is greater than max value 1',
    ]
    assert refusals(limit_range.DEFINITION, {"spec": {"limits": [{"type": "Pod", "max": {"cpu": "1"}}] * 2}}) == [
        'spec.limits[1].type: Duplicate value: "Pod"'
    ]


def test_rules_and_references() -> None:
    assert refusals(rbac.ROLES, {"rules": [{"nonResourceURLs": ["/x"], "verbs": ["get"]}]}) == [
        'rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs'
    ]
    assert refusals(rbac.CLUSTER_ROLES, {"rules": [{"nonResourceURLs": ["/x"], "verbs": ["get"]}]}) == []
    assert refusals(rbac.CLUSTER_ROLES, {"aggregationRule": {}}) == [
        "aggregationRule.clusterRoleSelectors: Required value: "
        "at least one clusterRoleSelector required if aggregationRule is non-nil"
    ]
    bound = created(rbac.ROLE_BINDINGS, {"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}]})
    assert bound["roleRef"]["apiGroup"] == bound["subjects"][0]["apiGroup"] == "rbac.authorization.k8s.io"
    assert refusals(rbac.ROLE_BINDINGS, bound | {"roleRef": bound["roleRef"] | {"name": "other"}}, bound) == [
        'roleRef: Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"Role","Name":"other"}: field is immutable'
    ]
    assert refusals(rbac.CLUSTER_ROLE_BINDINGS, {"roleRef": {"kind": "Role", "name": "r"}}) == [
        'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"'
    ]
    assert refusals(
        rbac.ROLE_BINDINGS, {"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "Robot", "name": "x"}]}
    ) == ['subjects[0].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"']


SCHEMA_FIELD = "JSONSchemaProps.spec.versions.schema.openAPIV3Schema"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"schema": {"openAPIV3Schema": {"type": ["object"]}}}, f"array into Go struct field {SCHEMA_FIELD}.type of type string"),
        ({"schema": {"openAPIV3Schema": {"type": 5}}}, f"number into Go struct field {SCHEMA_FIELD}.type of type string"),
        (
            {"schema": {"openAPIV3Schema": {"properties": {"a": {"properties": {"b": {"type": ["x"]}}}}}}},
            f"array into Go struct field {SCHEMA_FIELD}.properties.properties.type of type string",
        ),
        (
            {"schema": {"openAPIV3Schema": {"properties": []}}},
            f"array into Go struct field {SCHEMA_FIELD}.properties of type map[string]v1.JSONSchemaProps",
        ),
        (
            {"schema": {"openAPIV3Schema": {"required": "a"}}},
            f"string into Go struct field {SCHEMA_FIELD}.required of type []string",
        ),
        ({"served": "yes"}, "string into Go struct field CustomResourceDefinitionVersion.spec.versions.served of type bool"),
    ],
)
def test_a_definition_of_wrong_types_is_refused_in_gos_words(changes: Object, text: str) -> None:
    """A path has the names of fields, and neither positions in lists nor keys of maps."""
    version: Object = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    spec = {"group": "g.example", "names": {"plural": "xs", "kind": "X"}, "scope": "Namespaced", "versions": [version | changes]}
    with pytest.raises(Mismatch) as refused:
        custom_resource_definition.DEFINITION.strategy.default({"metadata": {"name": "xs.g.example"}, "spec": spec})
    assert refused.value.text() == f"json: cannot unmarshal {text}"
