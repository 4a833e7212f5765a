"""Validates Ingresses, their classes, NetworkPolicies and EndpointSlices."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

from tenantry.kube.field_errors import IMMUTABLE, duplicate, forbidden, invalid, not_supported, required, too_long, while_few
from tenantry.kube.label_selector_validation import label_errors, label_selector_errors
from tenantry.kube.names import dns1123_label_errors, dns1123_subdomain_errors, path_segment_errors
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError
from tenantry.kube.workloads.validation.checks import (
    ADDRESS_ERROR,
    PROTOCOLS,
    address_of,
    domain_path_errors,
    endpoint_address,
    is_network,
    items,
    label,
    member,
    network,
    one_of,
    port,
    port_name_errors,
    port_number,
    subdomain,
)

_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_POLICY_TYPES = ("Ingress", "Egress")
_POLICY_PROTOCOLS = ("TCP", "UDP", "SCTP")
_ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
_BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_BAD_ENDS = ("/..", "/.")
_CONTROLLER_BYTES_MAX = 250
_ADDRESSES_MAX, _ENDPOINTS_MAX, _PORTS_MAX = 100, 1000, 20000


def ingress_errors(obj: Object, old: Object | None) -> list[FieldError]:
    spec = obj["spec"]
    errors: list[FieldError] = []
    if not spec.get("rules") and "defaultBackend" not in spec:
        errors.append(invalid("spec", spec.get("rules"), "either `defaultBackend` or `rules` must be specified"))
    if "defaultBackend" in spec:
        errors += _backend_errors(spec["defaultBackend"], "spec.defaultBackend")
    for here, rule in while_few(errors, items(spec, "rules", "spec")):
        errors += _rule_errors(rule, here)
    for here, tls in while_few(errors, items(spec, "tls", "spec")):
        for index, host in enumerate(tls.get("hosts") or ()):
            errors += _host_errors(host, f"{here}.hosts[{index}]")
        if tls.get("secretName"):
            errors += subdomain(tls["secretName"], f"{here}.secretName")
    if spec.get("ingressClassName") is not None:
        errors += subdomain(spec["ingressClassName"], "spec.ingressClassName")
    return errors


def _host_errors(host: str, path: str) -> list[FieldError]:
    if address_of(host) is not None:
        return [invalid(path, host, "must be a DNS name, not an IP address")]
    if host.startswith("*."):
        return [] if not dns1123_subdomain_errors(host[2:]) else [invalid(path, host, text) for text in _wildcard_errors()]
    return subdomain(host, path)


def _wildcard_errors() -> list[str]:
    return [
        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case "
        "alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for "
        r"validation is '\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    ]


def _rule_errors(rule: Object, path: str) -> list[FieldError]:
    errors = _host_errors(rule["host"], f"{path}.host") if rule.get("host") else []
    http = rule.get("http")
    if http is None:
        return errors
    if not http.get("paths"):
        errors.append(required(f"{path}.http.paths"))
    for here, each in while_few(errors, items(http, "paths", f"{path}.http")):
        errors += _path_errors(each, here)
        if each.get("pathType") is not None:
            errors += _backend_errors(each.get("backend") or {}, f"{here}.backend")
    return errors


def _path_errors(each: Object, path: str) -> list[FieldError]:
    of, place = each.get("pathType"), each.get("path") or ""
    if of is None:
        return [required(f"{path}.pathType", "pathType must be specified")]
    if of not in _PATH_TYPES:
        return [not_supported(f"{path}.pathType", of, _PATH_TYPES)]
    if of == "ImplementationSpecific":
        return [] if not place or place.startswith("/") else [invalid(f"{path}.path", place, "must be an absolute path")]
    errors = [] if place.startswith("/") else [invalid(f"{path}.path", place, "must be an absolute path")]
    if place:
        errors += [invalid(f"{path}.path", place, f"must not contain '{bad}'") for bad in _BAD_SEQUENCES if bad in place]
        errors += [invalid(f"{path}.path", place, f"cannot end with '{bad}'") for bad in _BAD_ENDS if place.endswith(bad)]
    return errors


def _backend_errors(backend: Object, path: str) -> list[FieldError]:
    service, resource = backend.get("service"), backend.get("resource")
    if service is None and resource is None:
        return [invalid(path, "", "resource or service backend is required")]
    if service is not None and resource is not None:
        return [invalid(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        errors = [] if resource.get("kind") else [required(f"{path}.resource.kind")]
        return errors if resource.get("name") else [*errors, required(f"{path}.resource.name")]
    assert service is not None
    name, target = service.get("name") or "", service.get("port") or {}
    errors = [] if name else [required(f"{path}.service.name")]
    errors += [invalid(f"{path}.service.name", name, text) for text in (dns1123_label_errors(name) if name else ())]
    if target.get("name") and target.get("number"):
        return [*errors, invalid(path, "", "cannot set both port name & port number")]
    if target.get("name"):
        wrong = port_name_errors(target["name"])
        return errors + [invalid(f"{path}.service.port.name", target["name"], text) for text in wrong]
    if target.get("number"):
        return errors + port_number(target["number"], f"{path}.service.port.number")
    return [*errors, required(path, "port name or number is required")]


def ingress_class_errors(obj: Object, old: Object | None) -> list[FieldError]:
    spec = obj["spec"]
    controller = spec.get("controller") or ""
    errors: list[FieldError] = []
    if old is not None and controller != (old["spec"].get("controller") or ""):
        errors.append(invalid("spec.controller", controller, IMMUTABLE))
    if len(controller.encode()) > _CONTROLLER_BYTES_MAX:
        errors.append(too_long("spec.controller", _CONTROLLER_BYTES_MAX))
    errors += domain_path_errors(controller, "spec.controller")
    parameters, path = spec.get("parameters"), "spec.parameters"
    return errors if parameters is None else errors + _parameters_errors(parameters, path)


def _parameters_errors(parameters: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if parameters.get("apiGroup") is not None:
        errors += subdomain(parameters["apiGroup"], f"{path}.apiGroup")
    for name in ("kind", "name"):
        value = parameters.get(name) or ""
        errors += [invalid(f"{path}.{name}", value, text) for text in path_segment_errors(value)]
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if scope not in ("Cluster", "Namespace"):
        errors.append(not_supported(f"{path}.scope", scope, ("Cluster", "Namespace")))
    elif scope == "Namespace":
        if namespace is None:
            errors.append(required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'"))
        else:
            errors += label(namespace, f"{path}.namespace")
    elif namespace is not None:
        errors.append(forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'"))
    # Upstream finds these by declarative validation, which comes last.
    return errors + [required(f"{path}.{name}") for name in ("kind", "name") if not parameters.get(name)]


def policy_errors(obj: Object, old: Object | None) -> list[FieldError]:
    """Validates a NetworkPolicy."""
    spec = obj["spec"]
    errors = label_selector_errors(spec.get("podSelector") or {}, "spec.podSelector")
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for here, rule in while_few(errors, items(spec, direction, "spec")):
            for place, each in while_few(errors, items(rule, "ports", here)):
                errors += _policy_port_errors(each, place)
            for place, peer in while_few(errors, items(rule, peers, here)):
                errors += _peer_errors(peer, place)
    types = spec.get("policyTypes") or ()
    if len(types) > len(_POLICY_TYPES):
        errors.append(invalid("spec.policyTypes", types, "may not specify more than two policyTypes"))
        return errors
    for index, of in enumerate(types):
        errors += one_of(of, f"spec.policyTypes[{index}]", _POLICY_TYPES)
    return errors


def _policy_port_errors(each: Object, path: str) -> Iterator[FieldError]:
    yield from member(each.get("protocol"), f"{path}.protocol", _POLICY_PROTOCOLS)
    number, end = each.get("port"), each.get("endPort")
    if number is None:
        if end is not None:
            yield invalid(f"{path}.endPort", end, "may not be specified when `port` is not specified")
        return
    yield from port(number, f"{path}.port")
    if end is not None:
        if not isinstance(number, int):
            yield invalid(f"{path}.endPort", end, "may not be specified when `port` is non-numeric")
        elif end < number:
            yield invalid(f"{path}.endPort", end, "must be greater than or equal to `port`")
        else:
            yield from port_number(end, f"{path}.endPort")


def _peer_errors(peer: Object, path: str) -> Iterator[FieldError]:
    chosen = [name for name in ("podSelector", "namespaceSelector", "ipBlock") if name in peer]
    for name in chosen[:2]:
        if name != "ipBlock":
            yield from label_selector_errors(peer[name], f"{path}.{name}")
    if "ipBlock" in peer:
        yield from _block_errors(peer["ipBlock"], f"{path}.ipBlock")
    if not chosen:
        yield required(path, "must specify a peer")
    elif len(chosen) > 1 and "ipBlock" in peer:
        yield forbidden(path, "may not specify both ipBlock and another peer")


def _block_errors(block: Object, path: str) -> Iterator[FieldError]:
    outer = block.get("cidr") or ""
    if not outer:
        yield required(f"{path}.cidr")
        return
    yield from network(outer, f"{path}.cidr")
    if not is_network(outer):
        return
    for index, inner in enumerate(block.get("except") or ()):
        here = f"{path}.except[{index}]"
        yield from network(inner, here)
        if is_network(inner) and not _is_inside(inner, outer):
            yield invalid(here, inner, "must be a strict subset of `cidr`")


def _is_inside(inner: str, outer: str) -> bool:
    small, large = ip_network(inner, strict=False), ip_network(outer, strict=False)
    return type(small) is type(large) and small != large and small.subnet_of(large)  # type: ignore[arg-type]


def slice_errors(obj: Object, old: Object | None) -> list[FieldError]:
    """Validates an EndpointSlice."""
    of: str = obj.get("addressType") or ""
    endpoints = obj.get("endpoints") or ()
    # Upstream finds a wrong type by declarative validation, which comes last and does not go on where the type has changed.
    changed = old is not None and of != (old.get("addressType") or "")
    type_errors = one_of(of, "addressType", _ADDRESS_TYPES, missing="") if old is None or changed else []
    errors: list[FieldError] = [*type_errors] if changed else []
    names: set[str] = set()
    for index, each in while_few(errors, enumerate(obj.get("ports") or ())):
        errors += _slice_port_errors(each, f"ports[{index}]", names)
    if old is None or endpoints != (old.get("endpoints") or ()):
        if len(endpoints) > _ENDPOINTS_MAX:
            errors.append(_too_many("endpoints", len(endpoints), _ENDPOINTS_MAX))
        else:
            for index, endpoint in while_few(errors, enumerate(endpoints)):
                errors += _slice_endpoint_errors(endpoint, of, f"endpoints[{index}]")
    errors += [invalid("addressType", None, IMMUTABLE)] if changed else type_errors
    for index, endpoint in while_few(errors, enumerate(endpoints)):
        count, here = len(endpoint.get("addresses") or ()), f"endpoints[{index}].addresses"
        if not count:
            errors.append(required(here))
        elif count > _ADDRESSES_MAX:
            errors.append(_too_many(here, count, _ADDRESSES_MAX))
    return errors


def _too_many(path: str, count: int, limit: int) -> FieldError:
    return FieldError("TooMany", path, f"Too many: {count}: must have at most {limit} items")


def _slice_port_errors(each: Object, path: str, names: set[str]) -> list[FieldError]:
    name = each.get("name") or ""
    errors = label(name, f"{path}.name") if name else []
    if name in names:
        errors.append(duplicate(f"{path}.name", name))
    names.add(name)
    if each.get("protocol") is None:
        return [*errors, required(f"{path}.protocol")]
    return errors + member(each["protocol"], f"{path}.protocol", PROTOCOLS)


def _slice_endpoint_errors(endpoint: Object, of: str, path: str) -> list[FieldError]:
    addresses: list[Any] = endpoint.get("addresses") or []
    errors: list[FieldError] = []
    for index, address in while_few(errors, enumerate(addresses if of in _ADDRESS_TYPES else ())):
        here = f"{path}.addresses[{index}]"
        if of == "FQDN":
            errors += _domain_errors(address, here)
            continue
        parsed = address_of(address)
        if parsed is None:
            errors.append(invalid(here, address, ADDRESS_ERROR))
            continue
        if parsed.version != int(of[-1]):
            # Upstream names the list and not the item.
            errors.append(invalid(f"{path}.addresses", address, f"must be an {of} address"))
        errors += endpoint_address(address, here)
    if endpoint.get("nodeName") is not None:
        errors += subdomain(endpoint["nodeName"], f"{path}.nodeName")
    errors += label_errors(endpoint.get("deprecatedTopology") or {}, f"{path}.deprecatedTopology")
    if endpoint.get("hostname") is not None:
        errors += label(endpoint["hostname"], f"{path}.hostname")
    return errors


def _domain_errors(name: str, path: str) -> list[FieldError]:
    """The errors of a domain of two parts or more (IsFullyQualifiedDomainName)."""
    if not name:
        return [required(path)]
    name = name.removesuffix(".")
    if wrong := dns1123_subdomain_errors(name):
        return [invalid(path, name, ",".join(wrong))]
    if "." not in name:
        return [invalid(path, name, "should be a domain with at least two segments separated by dots")]
    found = ((part, dns1123_label_errors(part)) for part in name.split("."))
    return [invalid(path, part, ",".join(wrong)) for part, wrong in found if wrong]
