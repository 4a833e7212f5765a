"""Webhooks, read from the configurations of a logical cluster, and looked up by what a write is about."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson

from tenantry.http.outgoing import Destination
from tenantry.kube.admission.conditions import Condition
from tenantry.kube.admission.evaluation import expression
from tenantry.kube.admission_matching import Matcher
from tenantry.kube.types.webhook_client_validation import parse_url
from tenantry.kube.types.webhook_configuration import (
    DEFAULT_PORT,
    DEFAULT_TIMEOUT_SECONDS,
    REVIEW_VERSIONS,
    SIDE_EFFECTS,
)


class ServiceReference(NamedTuple):
    """`clientConfig.service`."""

    namespace: str
    name: str
    port: int
    path: str


class Place(NamedTuple):
    """Where a clientConfig leads to. `url`: as it is called, without the timeout. `path`: as it is sent, escaped. `destination`:
    None for a service. `host`: what the request calls it; empty for a service."""

    url: str
    host: str
    path: str
    destination: Destination | None
    service: ServiceReference | None
    bundle: bytes


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Webhook:
    """One webhook of a configuration.

    `uid`: what tells it from the others of the cluster. `index`: its position among all of them. `review_version`: that of the
    AdmissionReview it is sent; empty where it takes none that is known.
    """

    uid: str
    index: int
    name: str
    configuration: str
    matcher: Matcher
    conditions: tuple[Condition, ...]
    review_version: str
    ignores_failures: bool
    timeout_seconds: int
    allows_dry_run: bool
    reinvocable: bool
    place: Place
    weight: int
    """About how many comparisons it takes to match it with a request."""


class WebhookSet:
    """The webhooks of one kind in a logical cluster: by the name of the configuration, then as listed."""

    __slots__ = ("_by_resource", "_of_all", "_webhooks", "cluster")

    def __init__(self, cluster: str, webhooks: Sequence[Webhook]) -> None:
        self.cluster = cluster
        self._webhooks = webhooks
        self._of_all: list[int] = []
        self._by_resource: dict[str, list[int]] = {}
        for index, webhook in enumerate(webhooks):
            names = {resource for rule in webhook.matcher.rules for resource, _ in rule.resources}
            if "*" in names:
                self._of_all.append(index)
            else:
                for resource in names:
                    self._by_resource.setdefault(resource, []).append(index)

    def about(self, resource: str) -> Sequence[Webhook]:
        """The webhooks with rules for a resource (plural) of any group. Types that share their storage have the same plural."""
        named = self._by_resource.get(resource)
        found = self._of_all if not named else sorted((*named, *self._of_all)) if self._of_all else named
        return [self._webhooks[index] for index in found]


_SAFE = "/%:@!$&'()*+,;=~-._"
"""Characters of a path that are sent as they are."""


def read_webhooks(configurations: Iterable[tuple[str, bytes]]) -> list[Webhook]:
    """The webhooks of configurations: (name, object as JSON). In the order in which they are called."""
    found: list[Webhook] = []
    for name, raw in sorted(configurations):
        known: dict[str, int] = {}
        for spec in orjson.loads(raw).get("webhooks") or ():
            number = known[spec["name"]] = known.get(spec["name"], -1) + 1
            found.append(_webhook(name, spec, f"{name}/{spec['name']}/{number}", len(found)))
    return found


def _webhook(configuration: str, spec: Mapping[str, Any], uid: str, index: int) -> Webhook:
    return Webhook(
        uid=uid,
        index=index,
        name=spec["name"],
        configuration=configuration,
        matcher=Matcher(
            spec.get("rules") or (),
            match_policy=spec.get("matchPolicy"),
            namespace_selector=spec.get("namespaceSelector"),
            object_selector=spec.get("objectSelector"),
        ),
        conditions=tuple(
            Condition(each.get("name") or "", expression((each.get("expression") or "").strip()))
            for each in spec.get("matchConditions") or ()
        ),
        review_version=next((each for each in spec.get("admissionReviewVersions") or () if each in REVIEW_VERSIONS), ""),
        ignores_failures=spec.get("failurePolicy") == "Ignore",
        timeout_seconds=spec.get("timeoutSeconds") or DEFAULT_TIMEOUT_SECONDS,
        allows_dry_run=spec.get("sideEffects") in SIDE_EFFECTS,
        reinvocable=spec.get("reinvocationPolicy") == "IfNeeded",
        place=read_place(spec.get("clientConfig") or {}),
        weight=_weight(spec),
    )


def read_place(client: Mapping[str, Any]) -> Place:
    """Where a clientConfig leads to."""
    bundle = base64.b64decode(client.get("caBundle") or "")
    if not bundle.strip():
        bundle = b""
    service, destination, host = None, None, ""
    if client.get("service") is not None:
        service = _service(client["service"])
        path = service.path
        url = f"https://{service.name}.{service.namespace}.svc:{service.port}{path}"
    else:
        destination, url, path = _destination(client.get("url") or "", bundle)
        host = url[len("https://") :].partition("/")[0] if destination is not None else ""
    return Place(url, host, quote(path or "/", safe=_SAFE), destination, service, bundle)


def _weight(spec: Mapping[str, Any]) -> int:
    weight = 1
    for rule in spec.get("rules") or ():
        weight += 4 + len(rule.get("resources") or ())
    for name in ("namespaceSelector", "objectSelector"):
        selector = spec.get(name) or {}
        weight += len(selector.get("matchLabels") or ()) + len(selector.get("matchExpressions") or ())
    return weight


def _service(spec: Mapping[str, Any]) -> ServiceReference:
    path = spec.get("path") or "/"
    path = path if path.startswith("/") else f"/{path}"
    return ServiceReference(spec.get("namespace") or "", spec.get("name") or "", spec.get("port") or DEFAULT_PORT, path)


def _destination(url: str, bundle: bytes) -> tuple[Destination | None, str, str]:
    """None for a URL that cannot be called. Those were refused when they were written."""
    try:
        parts = parse_url(url)
    except ValueError:
        return None, url, ""
    host, port = parts.host, DEFAULT_PORT
    if not host.endswith("]") and ":" in host:
        host, _, text = host.rpartition(":")
        port = int(text) if text and int(text) < 1 << 16 else DEFAULT_PORT
    path = parts.path if parts.path else "/"
    return Destination(host.strip("[]"), port, bundle), f"https://{parts.host}{path}", path
