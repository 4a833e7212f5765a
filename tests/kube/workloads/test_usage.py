"""What objects use of quotas, and what LimitRanges set and allow."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.kube.objects import GroupResource
from tenantry.kube.quota import ObjectUsage, lacking, wanted_of
from tenantry.kube.workloads.limits import ANNOTATION, refusals, set_defaults
from tenantry.kube.workloads.pod_resources import default_pod_requests, pod_amounts, quality_of_service
from tenantry.kube.workloads.usage import CLAIMS, PODS, SERVICES, usage_of
from tests.growth.meter import lines


def container(requests: Any = None, limits: Any = None, **more: Any) -> Any:
    sides = {"requests": requests, "limits": limits}
    return {"name": "a", "resources": {side: amounts for side, amounts in sides.items() if amounts}, **more}


def pod(*containers: Any, **spec: Any) -> Any:
    return {"metadata": {"name": "p"}, "spec": {"containers": list(containers) or [container()], **spec}}


def quota(hard: Any, *scopes: str, **selector: Any) -> Any:
    spec: Any = {"hard": hard, "scopes": list(scopes)}
    if selector:
        spec["scopeSelector"] = {"matchExpressions": [selector]}
    return {"metadata": {"name": "q"}, "spec": spec, "status": {"hard": hard, "used": dict.fromkeys(hard, "0")}}


def test_containers_run_together_after_the_largest_init_container() -> None:
    spec = pod(
        container({"cpu": "1", "memory": "1Gi"}),
        container({"cpu": "500m"}),
        initContainers=[
            container({"cpu": "100m"}, restartPolicy="Always"),
            container({"cpu": "2", "memory": "100Mi"}),
        ],
        overhead={"cpu": "50m"},
    )["spec"]
    # 1.5 and the sidecar run together; the init container runs beside the sidecar.
    assert pod_amounts(spec, "requests") == {"cpu": "2150m", "memory": "1Gi"}


def test_what_the_pod_says_goes_before_what_its_containers_add_up_to() -> None:
    spec = pod(container({"cpu": "1"}), resources={"limits": {"cpu": "4", "memory": "1Gi"}})["spec"]
    default_pod_requests(spec)
    assert spec["resources"]["requests"] == {"cpu": "1", "memory": "1Gi"}
    assert pod_amounts(spec, "limits") == {"cpu": "4", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("requests", "limits", "found"),
    [
        (None, None, "BestEffort"),
        ({"cpu": "1"}, None, "Burstable"),
        ({"cpu": "1", "memory": "1"}, {"cpu": "1", "memory": "1"}, "Guaranteed"),
        ({"cpu": "1", "memory": "1"}, {"cpu": "1", "memory": "2"}, "Burstable"),
        ({"cpu": "1000m"}, {"cpu": "1"}, "Burstable"),
    ],
)
def test_quality_of_service(requests: Any, limits: Any, found: str) -> None:
    assert quality_of_service(pod(container(requests, limits))["spec"]) == found


def test_a_pod_that_has_ended_counts_as_an_object_alone() -> None:
    one = pod(container({"cpu": "1"}))
    assert usage_of(PODS, one) == {"count/pods": "1", "pods": "1", "cpu": "1", "requests.cpu": "1"}
    assert usage_of(PODS, {**one, "status": {"phase": "Failed"}}) == {"count/pods": "1"}
    hard = quota({"pods": "2", "requests.cpu": "2", "count/pods": "9"})
    ended = {**one, "status": {"phase": "Succeeded"}}
    assert wanted_of(hard, ObjectUsage(PODS, ended), ObjectUsage(PODS, one), built_in=True) == {
        "pods": "-1",
        "requests.cpu": "-1",
    }


def test_ports_of_services() -> None:
    ports = [{"port": 80}, {"port": 81, "nodePort": 30000}]
    balancer: Any = {"spec": {"type": "LoadBalancer", "ports": ports}}
    assert usage_of(SERVICES, balancer) == {
        "count/services": "1",
        "services": "1",
        "services.loadbalancers": "1",
        "services.nodeports": "2",
    }
    balancer["spec"]["allocateLoadBalancerNodePorts"] = False
    assert (usage_of(SERVICES, balancer) or {})["services.nodeports"] == "1"


def test_storage_of_claims_by_class() -> None:
    claim = {"metadata": {}, "spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "1500m"}}}}
    used = usage_of(CLAIMS, claim) or {}
    assert used["requests.storage"] == used["fast.storageclass.storage.k8s.io/requests.storage"] == "2"


@pytest.mark.parametrize(
    ("limits", "matches"),
    [
        (quota({"pods": "1"}, "BestEffort"), pod()),
        (quota({"pods": "1"}, "NotBestEffort"), pod(container({"cpu": "1"}))),
        (quota({"pods": "1"}, "Terminating"), pod(activeDeadlineSeconds=5)),
        (quota({"pods": "1"}, "NotTerminating"), pod()),
        (quota({"pods": "1"}, scopeName="PriorityClass", operator="In", values=["high"]), pod(priorityClassName="high")),
        (quota({"pods": "1"}, scopeName="PriorityClass", operator="DoesNotExist"), pod()),
        (
            quota({"pods": "1"}, "CrossNamespacePodAffinity"),
            pod(affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"namespaces": ["x"]}]}}),
        ),
    ],
)
def test_scopes(limits: Any, matches: Any) -> None:
    others = [
        pod(),
        pod(container({"cpu": "1"})),
        pod(activeDeadlineSeconds=5),
        pod(container({"cpu": "1"}), priorityClassName="low"),
    ]
    assert ObjectUsage(PODS, matches).of(limits, limits["spec"]["hard"]) == {"pods": "1"}
    assert any(ObjectUsage(PODS, other).of(limits, limits["spec"]["hard"]) == {} for other in others)


def test_types_of_tenants_are_only_counted() -> None:
    hard = quota({"count/pods": "2", "requests.cpu": "2"})
    one = pod(container({"cpu": "1"}))
    assert wanted_of(hard, ObjectUsage(PODS, one), None, built_in=False) == {"count/pods": "1"}
    assert wanted_of(hard, ObjectUsage(GroupResource("x.example", "pods"), one), None, built_in=False) == {}


def test_containers_have_to_say_what_a_quota_counts() -> None:
    hard = quota({"requests.cpu": "2", "limits.memory": "1Gi"})
    text = "failed quota: q: must specify limits.memory for: a; requests.cpu for: a"
    assert lacking(hard, ObjectUsage(PODS, pod())) == text
    assert lacking(hard, ObjectUsage(PODS, pod(container({"cpu": "1"}, {"memory": "1"})))) == ""
    assert lacking(quota({"requests.cpu": "2"}, "BestEffort"), ObjectUsage(PODS, pod(container({"memory": "1"})))) == ""


def limit_range(*items: Any) -> Any:
    return {"spec": {"limits": list(items)}}


def test_defaults_of_limit_ranges() -> None:
    made = pod(container({"cpu": "1"}), initContainers=[container()])
    set_defaults(limit_range({"type": "Container", "default": {"cpu": "2"}, "defaultRequest": {"cpu": "1", "memory": "1"}}), made)
    assert made["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "1", "memory": "1"}, "limits": {"cpu": "2"}}
    assert made["metadata"]["annotations"][ANNOTATION] == (
        "LimitRanger plugin set: memory request for container a; cpu limit for container a; "
        "cpu, memory request for init container a; cpu limit for init container a"
    )


def test_bounds_of_limit_ranges() -> None:
    bounds = limit_range(
        {"type": "Container", "min": {"cpu": "100m"}, "max": {"memory": "1Gi"}, "maxLimitRequestRatio": {"cpu": "2"}},
        {"type": "Pod", "max": {"memory": "1Gi"}},
        {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}},
    )
    assert refusals([bounds], PODS, pod(container({"cpu": "100m"}, {"cpu": "200m", "memory": "1Gi"}))) == []
    assert refusals([bounds], PODS, pod(container({"cpu": "50m"}, {"cpu": "200m", "memory": "2Gi"}))) == [
        "minimum cpu usage per Container is 100m, but request is 50m",
        "maximum memory usage per Container is 1Gi, but limit is 2Gi",
        "cpu max limit to request ratio per Container is 2, but provided ratio is 4.000000",
        "maximum memory usage per Pod is 1Gi, but limit is 2Gi",
    ]
    claim = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    text = "maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi"
    assert refusals([bounds], CLAIMS, claim) == [text]


def test_what_a_large_pod_uses_takes_time_in_proportion_to_its_amounts() -> None:
    """Sidecars that each name other resources: what they need together is not added up again for each of them."""

    def spent(count: int) -> int:
        sidecars = [container({f"example.com/{number}": "1"}, restartPolicy="Always") for number in range(count)]
        # An amount that is read for the first time takes longer.
        usage_of(PODS, pod(initContainers=sidecars))
        return lines(lambda: usage_of(PODS, pod(initContainers=sidecars)))

    assert spent(800) < 10 * spent(100)


def test_a_quota_looks_at_its_own_keys_of_a_pod() -> None:
    amounts = {"cpu": "1", "memory": "1Gi", "example.com/a": "2"}
    sent = pod(container(amounts, amounts))
    few = {"limits.cpu", "requests.example.com/a", "pods"}
    many = few | {f"requests.example.com/k{number}" for number in range(100)}
    for keys in (few, many):
        found = ObjectUsage(PODS, sent, keys).of({"spec": {}}, keys)
        assert found == {"limits.cpu": "1", "requests.example.com/a": "2", "pods": "1"}


@pytest.mark.parametrize("names", [None, ("cpu",)])
def test_init_containers_run_beside_the_sidecars_before_them(names: Any) -> None:
    spec = pod(
        container({"cpu": "1"}),
        initContainers=[
            container({"cpu": "3"}),
            container({"cpu": "1", "memory": "1Gi"}, restartPolicy="Always"),
            container({"cpu": "4"}),
            container({"cpu": "1"}, restartPolicy="Always"),
        ],
    )["spec"]
    assert pod_amounts(spec, "requests", names) == {"cpu": "5"} | ({} if names else {"memory": "1Gi"})


def test_an_object_is_counted_once_for_all_quotas() -> None:
    sent = pod(*(container({"cpu": "1", "memory": "1"}, {"cpu": "1"}) for _ in range(50)))
    quotas = [quota({"requests.cpu": "99", "limits.cpu": "99"}, *scopes) for scopes in ((), ("NotBestEffort",), ("BestEffort",))]

    def spent(times: int) -> int:
        def count() -> None:
            usage = ObjectUsage(PODS, sent, {"requests.cpu", "limits.cpu"})
            for each in quotas * times:
                assert lacking(each, usage) == ""
                wanted_of(each, usage, None, built_in=True)

        count()
        return lines(count)

    assert spent(20) < 3 * spent(1)
    usage = ObjectUsage(PODS, sent, {"requests.cpu"})
    assert usage.covers(["requests.cpu"]) and not usage.covers(["requests.cpu", "pods"])
