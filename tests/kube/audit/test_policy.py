"""Audit policies: which are refused, in kube-apiserver's words, and what they want of a request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tenantry.apiserver.authorization import Attributes
from tenantry.apiserver.user import User
from tenantry.kube.audit.policy import Policy, PolicyError, load
from tenantry.kube.objects import Object

ALICE = User("alice", ("devs", "system:authenticated"))


def policy(*rules: Object, **more: object) -> Policy:
    return load(json.dumps({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules, **more}).encode())


def refused(text: str) -> str:
    with pytest.raises(PolicyError) as error:
        load(text.encode())
    return str(error.value)


def of_rule(rule: str) -> str:
    return refused(f"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- {rule}\n")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("{level: Metadat}", 'Unsupported value: "Metadat": supported values: "None", "Metadata", "Request", "RequestResponse"'),
        ("{verbs: [get]}", "rules[0].level: Required value"),
        (
            "{level: None, nonResourceURLs: [x]}",
            "rules[0].nonResourceURLs[0]: Invalid value: \"x\": non-resource URL rules must begin with a '/' character",
        ),
        (
            "{level: None, nonResourceURLs: [/a*b]}",
            "rules[0].nonResourceURLs[0]: Invalid value: \"/a*b\": non-resource URL wildcards '*' must be the final character of "
            "the rule",
        ),
        (
            "{level: None, nonResourceURLs: [/a], namespaces: [x]}",
            'rules[0].nonResourceURLs: Invalid value: ["/a"]: rules cannot apply to both regular resources and non-resource URLs',
        ),
        ("{level: None, resources: [{group: a/v1}]}", 'rules[0].resources.group: Invalid value: "a/v1": a lowercase RFC 1123'),
        (
            "{level: None, resources: [{resourceNames: [x]}]}",
            'rules[0].resources.resourceNames: Invalid value: ["x"]: using resourceNames requires at least one resource',
        ),
        (
            "{level: None, omitStages: [Nope]}",
            'rules[0].omitStages[0]: Invalid value: "Nope": allowed stages are '
            "RequestReceived,ResponseStarted,ResponseComplete,Panic",
        ),
    ],
)
def test_refused_rules(rule: str, expected: str) -> None:
    assert expected in of_rule(rule)


def test_unknown_fields_are_ignored_and_told() -> None:
    found = policy({"level": "None", "user": ["x"]}, omitStage=[])
    assert sorted(found.unknown) == ["omitStage", "rules[0].user"]


def test_refused_documents() -> None:
    head = "apiVersion: audit.k8s.io/v1\nkind: Policy\n"
    assert refused(head) == "loaded illegal policy with 0 rules"
    assert refused("apiVersion: audit.k8s.io/v1beta1\nkind: Policy\nrules: [{level: None}]") == (
        "unknown group version field audit.k8s.io/v1beta1, Kind=Policy in policy"
    )
    assert refused("rules: []").startswith("failed decoding: ")
    assert refused(head + "rules: x").startswith("failed decoding: ")
    assert refused("{").startswith("failed decoding: ")
    both = refused(head + "omitStages: [x]\nrules: [{level: Every}]")
    assert both.startswith("[omitStages[0]: Invalid value")
    assert ", rules[0].level: Unsupported value" in both


def asked(verb: str = "get", user: User = ALICE, **more: Any) -> Attributes:
    return Attributes(user, verb, "c", **more)


CONFIG_MAP: dict[str, Any] = {"resource": "configmaps", "namespace": "default", "name": "x", "version": "v1"}


@pytest.mark.parametrize(
    ("rule", "question", "matches"),
    [
        ({"users": ["alice"]}, asked(**CONFIG_MAP), True),
        ({"users": ["bob"]}, asked(**CONFIG_MAP), False),
        ({"userGroups": ["devs", "x"]}, asked(**CONFIG_MAP), True),
        ({"userGroups": ["x"]}, asked(**CONFIG_MAP), False),
        ({"verbs": ["list"]}, asked(**CONFIG_MAP), False),
        ({"namespaces": ["default"]}, asked(**CONFIG_MAP), True),
        ({"namespaces": ["default"]}, asked(path="/healthz"), False),
        ({"namespaces": [""]}, asked(resource="nodes"), True),
        ({"resources": [{"group": ""}]}, asked(**CONFIG_MAP), True),
        ({"resources": [{"group": "apps"}]}, asked(**CONFIG_MAP), False),
        ({"resources": [{"group": "*", "resources": ["configmaps"]}]}, asked(**CONFIG_MAP), True),
        ({"resources": [{"resources": ["configmaps"]}]}, asked(**CONFIG_MAP, subresource="status"), False),
        ({"resources": [{"resources": ["configmaps/status"]}]}, asked(**CONFIG_MAP, subresource="status"), True),
        ({"resources": [{"resources": ["configmaps/*"]}]}, asked(**CONFIG_MAP, subresource="status"), True),
        ({"resources": [{"resources": ["configmaps/*"]}]}, asked(**CONFIG_MAP), True),
        ({"resources": [{"resources": ["*/status"]}]}, asked(**CONFIG_MAP, subresource="status"), True),
        ({"resources": [{"resources": ["*/status"]}]}, asked(**CONFIG_MAP), False),
        ({"resources": [{"resources": ["configmaps"], "resourceNames": ["y"]}]}, asked(**CONFIG_MAP), False),
        ({"resources": [{"resources": ["*"], "resourceNames": ["x"]}]}, asked(**CONFIG_MAP), True),
        ({"nonResourceURLs": ["/healthz*"]}, asked(path="/healthz/ping"), True),
        ({"nonResourceURLs": ["/healthz"]}, asked(path="/healthz/ping"), False),
        ({"nonResourceURLs": ["*"]}, asked(path="/x"), True),
        ({"nonResourceURLs": ["*"]}, asked(**CONFIG_MAP), False),
    ],
)
def test_rules(rule: Object, question: Attributes, matches: bool) -> None:
    found = policy({"level": "Request"} | rule).recorded(question.user, question)
    assert found.level == ("Request" if matches else "None")


def test_the_first_rule_counts() -> None:
    made = policy(
        {"level": "None", "users": ["bob"]},
        {"level": "Metadata", "omitStages": ["Panic"], "omitManagedFields": False},
        {"level": "Request"},
        omitStages=["RequestReceived"],
        omitManagedFields=True,
    )
    found = made.recorded(ALICE, asked(**CONFIG_MAP))
    assert (found.level, found.omits, found.omits_managed_fields) == ("Metadata", frozenset({"RequestReceived", "Panic"}), False)
    assert made.recorded(User("bob"), asked(**CONFIG_MAP)).omits_managed_fields
