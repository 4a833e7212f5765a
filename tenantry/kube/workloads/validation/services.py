"""Validates Services and Endpoints."""

from __future__ import annotations

from typing import Any

from tenantry.kube.field_errors import duplicate, forbidden, invalid, required, while_few
from tenantry.kube.label_selector_validation import label_errors
from tenantry.kube.names import dns1123_subdomain_errors, qualified_name_errors
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError
from tenantry.kube.workloads.validation.checks import (
    ADDRESS_ERROR,
    PROTOCOLS,
    address_of,
    endpoint_address,
    ip_address,
    items,
    label,
    member,
    network,
    one_of,
    port,
    port_number,
    subdomain,
)

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_AFFINITIES = ("ClientIP", "None")
_POLICIES = ("Cluster", "Local")
_OUTSIDE = ("NodePort", "LoadBalancer")
_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
_DAY_SECONDS = 86400
NO_ADDRESS = "None"


def is_headless(spec: Object) -> bool:
    return spec.get("clusterIP") == NO_ADDRESS


def service_errors(obj: Object, old: Object | None) -> list[FieldError]:
    """Validates a Service. `old` is None on create."""
    spec = obj["spec"]
    of = spec.get("type") or ""
    errors: list[FieldError] = []
    if not spec.get("ports") and not is_headless(spec) and of != "ExternalName":
        errors.append(required("spec.ports"))
    if of == "LoadBalancer" and is_headless(spec):
        errors.append(invalid("spec.clusterIPs[0]", NO_ADDRESS, "may not be set to 'None' for LoadBalancer services"))
    elif of == "NodePort" and is_headless(spec):
        errors.append(invalid("spec.clusterIPs[0]", NO_ADDRESS, "may not be set to 'None' for NodePort services"))
    if of == "ExternalName":
        errors += _external_name_errors(spec)
    else:
        errors += _cluster_address_errors(spec)
    errors += _ports_errors(spec, of)
    errors += label_errors(spec.get("selector") or {}, "spec.selector")
    errors += _affinity_errors(spec)
    errors += one_of(of, "spec.type", _TYPES, missing="")
    for index, address in while_few(errors, enumerate(spec.get("externalIPs") or ())):
        errors += endpoint_address(address, f"spec.externalIPs[{index}]")
    errors += _balancer_errors(spec, of)
    errors += _traffic_errors(spec, of)
    return errors + member(spec.get("trafficDistribution"), "spec.trafficDistribution", _DISTRIBUTIONS)


def _external_name_errors(spec: Object) -> list[FieldError]:
    name = (spec.get("externalName") or "").removesuffix(".")
    errors = [] if name else [required("spec.externalName")]
    return errors + [invalid("spec.externalName", name, text) for text in (dns1123_subdomain_errors(name) if name else ())]


def _cluster_address_errors(spec: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, address in enumerate(spec.get("clusterIPs") or ()):
        if address != NO_ADDRESS and address_of(address) is None:
            errors.append(invalid(f"spec.clusterIPs[{index}]", address, ADDRESS_ERROR))
    addresses = spec.get("clusterIPs") or ()
    if spec.get("clusterIP") and addresses and addresses[0] != spec["clusterIP"]:
        errors.append(invalid("spec.clusterIPs", addresses, "first value must match `clusterIP`"))
    return errors


def _ports_errors(spec: Object, of: str) -> list[FieldError]:
    errors: list[FieldError] = []
    several = len(spec.get("ports") or ()) > 1
    names: set[str] = set()
    places: set[tuple[Any, Any]] = set()
    node_ports: set[tuple[Any, Any]] = set()
    for here, each in while_few(errors, items(spec, "ports", "spec")):
        name = each.get("name") or ""
        if not name and several:
            errors.append(required(f"{here}.name"))
        elif name:
            errors += label(name, f"{here}.name")
            if name in names:
                errors.append(duplicate(f"{here}.name", name))
            names.add(name)
        errors += port_number(each.get("port", 0), f"{here}.port")
        errors += one_of(each.get("protocol"), f"{here}.protocol", PROTOCOLS, missing="")
        errors += port(each.get("targetPort", 0), f"{here}.targetPort")
        if each.get("appProtocol"):
            errors += [invalid(f"{here}.appProtocol", each["appProtocol"], t) for t in qualified_name_errors(each["appProtocol"])]
        node_port = each.get("nodePort", 0)
        if node_port and of not in _OUTSIDE:
            errors.append(forbidden(f"{here}.nodePort", f"may not be used when `type` is '{of}'"))
        place = (each.get("protocol"), each.get("port", 0))
        if place in places:
            errors.append(duplicate(here, _shown(each)))
        places.add(place)
        if node_port:
            outside = (each.get("protocol"), node_port)
            if outside in node_ports:
                errors.append(duplicate(f"{here}.nodePort", node_port))
            node_ports.add(outside)
    return errors


def _shown(port: Object) -> Object:
    """A port as upstream shows its internal type when it is there twice."""
    return {
        "Name": "",
        "Protocol": port.get("protocol"),
        "AppProtocol": None,
        "Port": port.get("port", 0),
        "TargetPort": 0,
        "NodePort": 0,
    }


def _affinity_errors(spec: Object) -> list[FieldError]:
    affinity = spec.get("sessionAffinity") or ""
    errors = one_of(affinity, "spec.sessionAffinity", _AFFINITIES, missing="")
    config = spec.get("sessionAffinityConfig")
    if affinity == "ClientIP":
        seconds = ((config or {}).get("clientIP") or {}).get("timeoutSeconds")
        if seconds is not None and not 0 < seconds <= _DAY_SECONDS:
            path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
            errors.append(invalid(path, seconds, f"must be greater than 0 and less than {_DAY_SECONDS}"))
    elif affinity == "None" and config is not None:
        errors.append(forbidden("spec.sessionAffinityConfig", "must not be set when session affinity is None"))
    return errors


def _balancer_errors(spec: Object, of: str) -> list[FieldError]:
    errors: list[FieldError] = []
    only = "may only be used when `type` is 'LoadBalancer'"
    if of == "LoadBalancer":
        for index, each in while_few(errors, enumerate(spec.get("loadBalancerSourceRanges") or ())):
            errors += network(each.strip(), f"spec.LoadBalancerSourceRanges[{index}]")
        if spec.get("loadBalancerClass"):
            texts = qualified_name_errors(spec["loadBalancerClass"])
            errors += [invalid("spec.loadBalancerClass", spec["loadBalancerClass"], text) for text in texts]
        return errors
    if spec.get("loadBalancerSourceRanges"):
        errors.append(forbidden("spec.LoadBalancerSourceRanges", only))
    if spec.get("allocateLoadBalancerNodePorts") is not None:
        errors.append(forbidden("spec.allocateLoadBalancerNodePorts", only))
    if spec.get("loadBalancerClass") is not None:
        errors.append(forbidden("spec.loadBalancerClass", only))
    return errors


def _traffic_errors(spec: Object, of: str) -> list[FieldError]:
    errors: list[FieldError] = []
    outside = of in _OUTSIDE or (of == "ClusterIP" and bool(spec.get("externalIPs")))
    policy = spec.get("externalTrafficPolicy") or ""
    if outside:
        errors += one_of(policy, "spec.externalTrafficPolicy", _POLICIES, missing="")
    elif policy:
        errors.append(invalid("spec.externalTrafficPolicy", policy, "may only be set for externally-accessible services"))
    check = spec.get("healthCheckNodePort") or 0
    if check and (of != "LoadBalancer" or policy != "Local"):
        text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        errors.append(invalid("spec.healthCheckNodePort", check, text))
    elif check:
        errors += port_number(check, "spec.healthCheckNodePort")
    inside = spec.get("internalTrafficPolicy")
    if inside is None:
        return errors + ([required("spec.internalTrafficPolicy")] if of in (*_OUTSIDE, "ClusterIP") else [])
    return errors + one_of(inside, "spec.internalTrafficPolicy", _POLICIES)


def endpoints_errors(obj: Object, old: Object | None) -> list[FieldError]:
    errors: list[FieldError] = []
    for here, subset in while_few(errors, ((f"subsets[{i}]", each) for i, each in enumerate(obj.get("subsets") or ()))):
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            errors.append(required(here, "must specify `addresses` or `notReadyAddresses`"))
        for name in ("addresses", "notReadyAddresses"):
            for place, address in while_few(errors, items(subset, name, here)):
                errors += _endpoint_errors(address, place)
        several = len(subset.get("ports") or ()) > 1
        for place, each in while_few(errors, items(subset, "ports", here)):
            if several and not each.get("name"):
                errors.append(required(f"{place}.name"))
            elif each.get("name"):
                errors += label(each["name"], f"{place}.name")
            errors += port_number(each.get("port", 0), f"{place}.port")
            errors += one_of(each.get("protocol"), f"{place}.protocol", PROTOCOLS, missing="")
            protocol = each.get("appProtocol")
            wrong = qualified_name_errors(protocol) if protocol is not None else []
            errors += [invalid(f"{place}.appProtocol", protocol, text) for text in wrong]
    return errors


def _endpoint_errors(address: Object, path: str) -> list[FieldError]:
    value = address.get("ip") or ""
    wrong = ip_address(value, f"{path}.ip")
    errors = [*wrong]
    if address.get("hostname"):
        errors += label(address["hostname"], f"{path}.hostname")
    if address.get("nodeName") is not None:
        errors += subdomain(address["nodeName"], f"{path}.nodeName")
    # Upstream looks at it twice.
    again = [invalid(f"{path}.ip", value, "must be a valid IP address")] if wrong else endpoint_address(value, f"{path}.ip")
    return errors + again
