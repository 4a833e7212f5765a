"""A sound object of each type that stores objects: of the built-in ones, and of Kubernetes' workload types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import yaml

from tenantry.http.certificates import CertificateAuthority
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.types import BUILTINS
from tenantry.tenancy.types.workload_type import WORKLOAD_TYPES
from tests.support.requests_for_certificates import pod_request, signing_request

_KUBE = Path(__file__).parents[1] / "kube"
_MORE = """
- kind: Role
  rules: [{apiGroups: [""], resources: [configmaps], verbs: [get, list], resourceNames: [a]}]
- kind: ClusterRoleBinding
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
  subjects: [{kind: ServiceAccount, name: default, namespace: default}, {kind: User, name: x}]
- kind: ValidatingAdmissionPolicy
  spec:
    failurePolicy: Ignore
    paramKind: {apiVersion: v1, kind: ConfigMap}
    matchConstraints: &match
      resourceRules: [{apiGroups: [apps], apiVersions: [v1], operations: [UPDATE], resources: [deployments]}]
      objectSelector: {matchExpressions: [{key: never, operator: In, values: [x]}]}
    variables: [{name: v, expression: "object.metadata.name"}]
    validations: [{expression: "variables.v != 'forbidden'", message: never, reason: Forbidden}]
    auditAnnotations: [{key: a, valueExpression: "string(variables.v)"}]
- kind: ValidatingAdmissionPolicyBinding
  spec: {policyName: a, validationActions: [Warn, Audit], paramRef: {name: p, parameterNotFoundAction: Allow}}
- kind: MutatingAdmissionPolicy
  spec:
    failurePolicy: Ignore
    reinvocationPolicy: IfNeeded
    matchConstraints: *match
    mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: "Object{}"}}]
- kind: MutatingAdmissionPolicyBinding
  spec: {policyName: a, matchResources: {namespaceSelector: {matchLabels: {never: x}}}}
- kind: ValidatingWebhookConfiguration
  webhooks: &webhooks
  - name: a.example.com
    admissionReviewVersions: [v1]
    sideEffects: None
    failurePolicy: Ignore
    timeoutSeconds: 1
    clientConfig: {url: "https://127.0.0.1:9/x"}
    objectSelector: {matchLabels: {never: x}}
    rules: [{apiGroups: [""], apiVersions: [v1], operations: [DELETE], resources: [configmaps/*], scope: Namespaced}]
- kind: MutatingWebhookConfiguration
  webhooks: *webhooks
- kind: ClusterTrustBundle
  spec: {trustBundle: ""}
- kind: StorageVersionMigration
  spec: {resource: {group: "", resource: configmaps}}
- kind: FlowSchema
  spec:
    priorityLevelConfiguration: {name: global-default}
    matchingPrecedence: 9000
    distinguisherMethod: {type: ByUser}
    rules:
    - subjects: [{kind: User, user: {name: x}}]
      resourceRules: [{verbs: [get], apiGroups: ["*"], resources: [secrets], namespaces: ["*"]}]
      nonResourceRules: [{verbs: ["*"], nonResourceURLs: [/x/*]}]
- kind: PriorityLevelConfiguration
  spec:
    type: Limited
    limited: {nominalConcurrencyShares: 1, limitResponse: {type: Queue, queuing: {queues: 8, handSize: 2, queueLengthLimit: 5}}}
- kind: events.k8s.io/Event
  eventTime: "2024-01-01T00:00:00.000000Z"
  reportingController: example.com/c
  reportingInstance: c-1
  action: Scaled
  reason: Scaled
  type: Normal
  regarding: {kind: ConfigMap, namespace: default, name: x}
  note: text
- kind: CustomResourceDefinition
  metadata: {name: samples.sound.example}
  spec:
    group: sound.example
    scope: Namespaced
    names: {plural: samples, singular: sample, kind: Sample, listKind: SampleList, shortNames: [sm], categories: [all]}
    versions:
    - name: v1
      served: true
      storage: true
      subresources: {status: {}, scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}}
      additionalPrinterColumns: [{name: R, type: integer, jsonPath: .spec.replicas}]
      selectableFields: [{jsonPath: .spec.a}]
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              x-kubernetes-validations: [{rule: "!has(self.replicas) || self.replicas < 9"}]
              properties:
                a: {type: string, default: x, pattern: "^x"}
                replicas: {type: integer}
                l:
                  type: array
                  x-kubernetes-list-type: map
                  x-kubernetes-list-map-keys: [k]
                  items: {type: object, required: [k], properties: {k: {type: string}, v: {x-kubernetes-int-or-string: true}}}
            status: {type: object, x-kubernetes-preserve-unknown-fields: true}
    - {name: v1beta1, served: true, storage: false, deprecated: true, schema: {openAPIV3Schema: {type: object}}}
"""
"""Those of which nothing is recorded elsewhere."""


def sound_objects() -> Iterator[tuple[ResourceDefinition, Object]]:
    """The definition of each type that has objects, and a sound object of it, in the version that it stores."""
    found = _by_kind()
    for definition in (*BUILTINS, *(each.define(identity="x", uid="x") for each in WORKLOAD_TYPES)):
        sound = found.get(f"{definition.group}/{definition.kind}") or found.get(definition.kind)
        if sound and definition.stored:
            obj: Object = json.loads(json.dumps(sound)) | {"kind": definition.kind}
            name = obj.get("metadata", {}).get("name", "a")
            obj["metadata"] = {"name": name, "labels": {"a": "b"}}
            yield definition, obj | {"apiVersion": definition.api_version(definition.storage_version)}


@cache
def _by_kind() -> dict[str, Object]:
    recorded = json.loads((_KUBE / "workloads" / "recorded.json").read_text())
    messages = json.loads((_KUBE / "codec" / "go_messages.json").read_text())
    found: dict[str, Object] = {case["sent"]["kind"]: case["sent"] for case in reversed(recorded["created"])}
    found |= {case["json"]["kind"]: case["json"] for case in reversed(messages)}
    found |= {each["kind"]: each for each in yaml.safe_load(_MORE)}
    found["ClusterTrustBundle"]["spec"]["trustBundle"] = CertificateAuthority.create().certificate.decode()
    found["CertificateSigningRequest"] = signing_request("a")
    found["PodCertificateRequest"] = pod_request()
    return found
