"""The cells of Services, endpoints, and rules for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from tenantry.kube.objects import Object, annotations_of, name_of
from tenantry.kube.workloads.printing.cells import (
    AGE,
    NAME,
    NONE,
    UNSET,
    Cell,
    few,
    field,
    labels_text,
    plain,
    selector_text,
    spec,
    spec_of,
    status_of,
)

_DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"
_SHOWN = 3


def _balancer_addresses(obj: Object) -> list[str]:
    ingress = (status_of(obj).get("loadBalancer") or {}).get("ingress") or ()
    return sorted({each.get("ip") or each.get("hostname") or "" for each in ingress} - {""})


def _cluster_address(service: Object) -> str:
    addresses = spec_of(service).get("clusterIPs") or ()
    return addresses[0] if addresses else NONE


def _external_address(service: Object) -> str:
    its_spec = spec_of(service)
    external: list[str] = its_spec.get("externalIPs") or []
    match its_spec.get("type"):
        case "ClusterIP" | "NodePort":
            return ",".join(external) or NONE
        case "LoadBalancer":
            return ",".join(_balancer_addresses(service) + external) or "<pending>"
        case "ExternalName":
            return str(its_spec.get("externalName") or "")
        case _:
            return "<unknown>"


def _service_ports(service: Object) -> str:
    return ",".join(map(_service_port, spec_of(service).get("ports") or ())) or NONE


def _service_port(port: Object) -> str:
    node = f":{port['nodePort']}" if port.get("nodePort", 0) > 0 else ""
    return f"{port.get('port', 0)}{node}/{port.get('protocol', '')}"


def _endpoints(obj: Object) -> str:
    return few(_places(obj.get("subsets") or ())) or ("" if obj.get("subsets") else NONE)


def _places(subsets: Iterable[Object]) -> Iterator[str]:
    for subset in subsets:
        addresses = [each.get("ip") or "" for each in subset.get("addresses") or ()]
        ports = subset.get("ports") or ()
        if not ports:
            yield from addresses
        for port in ports:
            for address in addresses:
                host = f"[{address}]" if ":" in address else address
                yield f"{host}:{port.get('port', 0)}"


def _slice_ports(obj: Object) -> str:
    return few(str(port["port"]) if "port" in port else port.get("name", "*") for port in obj.get("ports") or ()) or UNSET


def _slice_addresses(obj: Object) -> str:
    return few(address for endpoint in obj.get("endpoints") or () for address in endpoint.get("addresses") or ()) or UNSET


def _hosts(ingress: Object) -> str:
    rules = spec_of(ingress).get("rules") or ()
    hosts: list[str] = []
    more = False
    for rule in rules:
        more = more or len(hosts) == _SHOWN
        if not more and rule.get("host"):
            hosts.append(rule["host"])
    if not hosts:
        return "*"
    return f"{','.join(hosts)} + {len(rules) - _SHOWN} more..." if more else ",".join(hosts)


def _class_name(obj: Object) -> str:
    return name_of(obj) + (" (default)" if annotations_of(obj).get(_DEFAULT_CLASS) == "true" else "")


def _class_parameters(obj: Object) -> str:
    parameters = spec_of(obj).get("parameters")
    if parameters is None:
        return NONE
    group = f".{parameters['apiGroup']}" if "apiGroup" in parameters else ""
    return f"{parameters.get('kind', '')}{group}/{parameters.get('name', '')}"


CELLS: Mapping[str, Sequence[Cell]] = {
    "EndpointSlice": (NAME, field("addressType"), plain(_slice_ports), plain(_slice_addresses), AGE),
    "Endpoints": (NAME, plain(_endpoints), AGE),
    "Ingress": (
        NAME,
        spec("ingressClassName", NONE),
        plain(_hosts),
        plain(lambda obj: ",".join(_balancer_addresses(obj))),
        plain(lambda obj: "80, 443" if spec_of(obj).get("tls") else "80"),
        AGE,
    ),
    "IngressClass": (plain(_class_name), spec("controller"), plain(_class_parameters), AGE),
    "NetworkPolicy": (NAME, plain(lambda obj: selector_text(spec_of(obj).get("podSelector") or {})), AGE),
    "Service": (
        NAME,
        spec("type"),
        plain(_cluster_address),
        plain(_external_address),
        plain(_service_ports),
        AGE,
        plain(lambda obj: labels_text(spec_of(obj).get("selector"))),
    ),
}
