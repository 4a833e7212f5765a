"""A small HTTP client of the API: what a test sends is what it says, and what comes back is not interpreted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3

from tests.support.patience import PATIENCE_SECONDS
from tests.support.waiting import wait_for

Object = dict[str, Any]

CORE = "/api/v1"
NAMESPACES = f"{CORE}/namespaces"
CONFIG_MAPS = f"{NAMESPACES}/default/configmaps"
SECRETS = f"{NAMESPACES}/default/secrets"
SERVICE_ACCOUNTS = f"{NAMESPACES}/default/serviceaccounts"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
TENANCY = "/apis/tenancy.kcp.io/v1alpha1"
WORKSPACES = f"{TENANCY}/workspaces"
WORKSPACE_TYPES = f"{TENANCY}/workspacetypes"
LOGICAL_CLUSTER = "/apis/core.kcp.io/v1alpha1/logicalclusters/cluster"
SHARDS = "/apis/core.kcp.io/v1alpha1/shards"
API_EXPORTS = "/apis/apis.kcp.io/v1alpha2/apiexports"
API_BINDINGS = "/apis/apis.kcp.io/v1alpha2/apibindings"
API_RESOURCE_SCHEMAS = "/apis/apis.kcp.io/v1alpha1/apiresourceschemas"
ENDPOINT_SLICES = "/apis/apis.kcp.io/v1alpha1/apiexportendpointslices"

PATCHES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    @property
    def object(self) -> Object:
        found: Object = json.loads(self.body)
        return found

    def expect(self, status: int) -> Object:
        assert self.status == status, f"{self.status} instead of {status}: {self.text[:600]}"
        return self.object


class Refused(AssertionError):
    """An answer that is no success."""

    def __init__(self, method: str, url: str, answer: Answer) -> None:
        super().__init__(f"{method} {url}: {answer.status} {answer.text[:600]}")
        self.answer = answer


class Watch:
    """An open watch. Iterating yields events until the server ends the stream; a silence of `seconds` is an error."""

    def __init__(self, response: urllib3.BaseHTTPResponse, seconds: float) -> None:
        self._response = response
        self._seconds = seconds

    def __iter__(self) -> Iterator[Object]:
        rest = b""
        try:
            for piece in self._response.stream():
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    yield json.loads(line)
        except urllib3.exceptions.ReadTimeoutError:
            raise AssertionError(f"the watch was silent for {self._seconds:.0f} seconds") from None
        assert not rest, "the stream ended within an event"

    def until(self, accept: Callable[[Object], bool], what: str = "event") -> list[Object]:
        """The events up to and with the first that `accept` takes."""
        deadline = time.monotonic() + self._seconds
        seen = []
        for event in self:
            seen.append(event)
            if accept(event):
                return seen
            assert time.monotonic() < deadline, f"no {what} within {self._seconds:.0f} seconds"
        raise AssertionError(f"the watch ended before the {what}; seen: {[e['type'] for e in seen]}")

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self._response.close()


@cache
def _pool(ca: str) -> urllib3.PoolManager:
    return urllib3.PoolManager(num_pools=4, maxsize=64, ca_certs=ca, retries=False)


_turns = count()


@dataclass(frozen=True)
class Api:
    """The API under `url` (for example `<server>/clusters/root`), as the owner of `token`.

    `doors` are origins of which one is as good as the other: requests to the first go to all of them in turn.
    """

    url: str
    ca: str
    token: str = ""
    doors: tuple[str, ...] = ()

    @property
    def origin(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def name(self) -> str:
        """The cluster that the URL names."""
        return self.url.rpartition("/clusters/")[2].partition("/")[0]

    def at(self, url: str) -> Api:
        """The same caller elsewhere: at a URL, or a path of this server."""
        return replace(self, url=url if "://" in url else self.origin + url)

    def cluster(self, name: str) -> Api:
        return self.at(f"/clusters/{name}")

    def hang_up(self) -> None:
        """Closes the connections to the server, of everybody here."""
        _pool(self.ca).clear()

    def caller(self, token: str) -> Api:
        return replace(self, token=token)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        **query: Any,
    ) -> Answer:
        """Sends one request. A `body` of bytes goes as it is, anything else as JSON."""
        answer = self._send(method, path, body, content_type, headers or {}, query)
        return Answer(answer.status, answer.headers, answer.data)

    def _send(
        self,
        method: str,
        path: str,
        body: Any,
        content_type: str,
        headers: Mapping[str, str],
        query: Mapping[str, Any],
        **how: Any,
    ) -> urllib3.BaseHTTPResponse:
        sent = {"Accept": "application/json", "Connection": "keep-alive", **headers}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            sent["Content-Type"] = content_type
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
        text = {k: str(v).lower() if isinstance(v, bool) else v for k, v in query.items()}
        url = self.url + path + ("?" + urlencode(text) if text else "")
        if self.doors and self.origin == self.doors[0]:
            url = self.doors[next(_turns) % len(self.doors)] + url.removeprefix(self.origin)
        return _pool(self.ca).request(method, url, body=body, headers=sent, **{"timeout": urllib3.Timeout(60.0), **how})

    def _done(self, method: str, path: str, body: Any = None, **how: Any) -> Object:
        answer = self.request(method, path, body, **how)
        if answer.status >= 300:
            raise Refused(method, self.url + path, answer)
        return answer.object

    def get(self, path: str, **how: Any) -> Object:
        return self._done("GET", path, **how)

    def items(self, path: str, **how: Any) -> list[Object]:
        items: list[Object] = self.get(path, **how)["items"]
        return items

    def names(self, path: str, **how: Any) -> list[str]:
        return sorted(item["metadata"]["name"] for item in self.items(path, **how))

    def create(self, path: str, body: Object, **how: Any) -> Object:
        return self._done("POST", path, body, **how)

    def put(self, path: str, body: Object, **how: Any) -> Object:
        return self._done("PUT", path, body, **how)

    def patch(self, path: str, body: Any, kind: str = "merge", **how: Any) -> Object:
        return self._done("PATCH", path, body, content_type=PATCHES[kind], **how)

    def delete(self, path: str, body: Object | None = None, **how: Any) -> Object:
        return self._done("DELETE", path, body, **how)

    def status_of(self, method: str, path: str, body: Any = None, **how: Any) -> int:
        return self.request(method, path, body, **how).status

    def watch(
        self, path: str, *, seconds: float = PATIENCE_SECONDS, headers: Mapping[str, str] | None = None, **query: Any
    ) -> Watch:
        """Opens a watch from `resourceVersion`, if given, or from the start."""
        response = self._send(
            "GET",
            path,
            None,
            "",
            headers or {},
            {"watch": True, **query},
            preload_content=False,
            timeout=urllib3.Timeout(connect=30.0, read=seconds),
        )
        if response.status != 200:
            raise Refused("WATCH", self.url + path, Answer(response.status, response.headers, response.data))
        return Watch(response, seconds)

    def gone(self, path: str) -> None:
        """Waits until there is nothing at `path`."""
        wait_for(lambda: self.status_of("GET", path) == 404, f"{path} is gone")

    def workspace(self, name: str, *, type: Object | None = None, **spec: Any) -> Api:
        """A new workspace below this one, Ready; its API by id."""
        if type is not None:
            spec["type"] = type
        self.create(
            WORKSPACES, {"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": name}, "spec": spec}
        )
        return self.ready(name)

    def ready(self, name: str) -> Api:
        def look() -> Object:
            made = self.get(f"{WORKSPACES}/{name}")
            assert made.get("status", {}).get("phase") == "Ready", made
            return made

        return self.cluster(wait_for(look, f"{name} is Ready")["spec"]["cluster"])


def config_map(name: str, data: Mapping[str, str] | None = None, **metadata: Any) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": dict(data or {})}


def namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
