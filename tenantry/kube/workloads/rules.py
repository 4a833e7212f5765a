"""Kind → the rules of the type."""

from __future__ import annotations

from collections.abc import Mapping

from tenantry.kube.names import dns1123_label_errors, path_segment_errors
from tenantry.kube.workloads import pod_endpoints, preparation
from tenantry.kube.workloads.job_labels import make_selector
from tenantry.kube.workloads.strategy import Endpoint, Rules
from tenantry.kube.workloads.validation import (
    autoscalers,
    controllers,
    jobs,
    networking,
    nodes_and_classes,
    pods,
    replicas,
    services,
    storage,
)
from tenantry.kube.workloads.validation.claims import claim_errors

RULES: Mapping[str, Rules] = {
    "CSIDriver": Rules(unconditional_update=False, errors=storage.driver_errors, starts_generation=False),
    "ControllerRevision": Rules(prefix_on_update="after", errors=controllers.revision_errors, tracks_generation=False),
    "CronJob": Rules(errors=jobs.cron_job_errors),
    "DaemonSet": Rules(
        errors=controllers.daemon_set_errors,
        status_errors=replicas.daemon_set_status,
        on_create=preparation.create_daemon_set,
        on_update=preparation.update_daemon_set,
    ),
    "Deployment": Rules(
        errors=controllers.deployment_errors, status_errors=replicas.deployment_status, keeps_labels=True, counted="annotations"
    ),
    "EndpointSlice": Rules(
        on_create=preparation.without_topology,
        on_update=preparation.update_endpoint_slice,
        counted="labels",
        prefix_on_update="before",
        errors=networking.slice_errors,
    ),
    "Endpoints": Rules(
        prefix_on_update="after",
        errors=services.endpoints_errors,
        tracks_generation=False,
        create_on_update=True,
    ),
    "HorizontalPodAutoscaler": Rules(errors=autoscalers.autoscaler_errors, status_errors=autoscalers.autoscaler_status_errors),
    "Ingress": Rules(prefix_on_update="after", errors=networking.ingress_errors),
    "IngressClass": Rules(prefix_on_update="after", errors=networking.ingress_class_errors),
    "Job": Rules(errors=jobs.job_errors, on_create=make_selector, propagation="Orphan"),
    "NetworkPolicy": Rules(errors=networking.policy_errors),
    "Node": Rules(
        prefix_on_update="before",
        errors=nodes_and_classes.node_errors,
        on_create=nodes_and_classes.normalise_node,
        on_update=nodes_and_classes.update_node,
        keeps_status=True,
        tracks_generation=False,
    ),
    "PersistentVolume": Rules(
        prefix_on_update="before",
        errors=storage.volume_errors,
        on_create=preparation.create_volume,
        on_status=preparation.update_volume_status,
        tracks_generation=False,
        returns_deleted=True,
    ),
    "PersistentVolumeClaim": Rules(
        prefix_on_update="after",
        errors=claim_errors,
        on_create=preparation.create_claim,
        tracks_generation=False,
        returns_deleted=True,
    ),
    "Pod": Rules(
        prefix_on_update="after",
        errors=pods.pod_errors,
        on_create=preparation.create_pod,
        endpoints={
            "ephemeralcontainers": Endpoint(pod_endpoints.keep_all_but_ephemeral, pod_endpoints.ephemeral_errors),
            "resize": Endpoint(pod_endpoints.keep_all_but_resources, pod_endpoints.resize_errors),
        },
        returns_deleted=True,
        marks_deleted=True,
    ),
    "PodDisruptionBudget": Rules(
        bare_finalizers=True,
        metadata_first=False,
        errors=controllers.budget_errors,
        name_errors=path_segment_errors,
        unconditional_update=False,
    ),
    "PodTemplate": Rules(errors=pods.pod_template_errors, returns_deleted=True),
    "PriorityClass": Rules(changes_generation=False, errors=nodes_and_classes.priority_class_errors),
    "ReplicaSet": Rules(errors=controllers.replica_set_errors, status_errors=replicas.replica_set_status),
    "ReplicationController": Rules(
        name_last=True,
        errors=controllers.replication_controller_errors,
        status_errors=replicas.replica_set_status,
        propagation="Orphan",
    ),
    "RuntimeClass": Rules(
        prefix_on_update="before",
        bare_finalizers=True,
        unconditional_update=False,
        errors=nodes_and_classes.runtime_class_errors,
        tracks_generation=False,
    ),
    "Service": Rules(
        name_errors=dns1123_label_errors,
        errors=services.service_errors,
        on_create=preparation.create_service,
        on_update=preparation.update_service,
        tracks_generation=False,
        returns_deleted=True,
    ),
    "StatefulSet": Rules(
        name_errors=dns1123_label_errors, errors=controllers.stateful_set_errors, status_errors=replicas.stateful_set_status
    ),
    "StorageClass": Rules(prefix_on_update="before", errors=storage.class_errors, tracks_generation=False, returns_deleted=True),
    "VolumeAttributesClass": Rules(prefix_on_update="after", errors=storage.attributes_class_errors, tracks_generation=False),
}
