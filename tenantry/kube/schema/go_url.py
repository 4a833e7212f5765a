"""URLs as Go reads them (net/url of Go 1.26): the URI of a request, or a reference with a fragment."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote as percent_encoded
from urllib.parse import unquote_to_bytes

from tenantry.kube.go_text import quote
from tenantry.kube.schema.ip_and_url import address_problem

_SHOWN = 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*", re.ASCII)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST_BAD = re.compile(r"[^A-Za-z0-9\-_.~!$&'()*+,;=:\[\]<>\"%\u0080-\U0010ffff]")
_HOST_ESCAPE = re.compile(r"%(?!25)[0-7]")
_USER = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*", re.ASCII)
_PORT = re.compile(r"(?::[0-9]*)?", re.ASCII)
_PATH = re.compile(r"[A-Za-z0-9\-_.~!$&'()*+,;=:@/\[\]%]*", re.ASCII)
_PATH_SAFE, _FRAGMENT_SAFE = "-_.~$&+,/:;=@", "-_.~$&+,/:;=?@!()*"


class GoURL(NamedTuple):
    """A parsed URL. `host` has the port; `path` is escaped as it was written, if it was right, and again otherwise. Two are equal
    whose texts are (`str`)."""

    scheme: str
    opaque: str
    user: str
    host: str
    path: str
    query: str
    fragment: str
    has_empty_query: bool
    has_authority: bool

    @property
    def port(self) -> str:
        rest = self.host[self.host.rfind("]") + 1 :]
        port = rest.rpartition(":")[2] if ":" in rest else ""
        return port if port.isdecimal() else ""

    @property
    def hostname(self) -> str:
        name = self.host
        rest = name[name.rfind("]") + 1 :]
        if ":" in rest and _PORT.fullmatch(rest[rest.rfind(":") :]):
            name = name[: name.rfind(":")]
        return name[1:-1] if name.startswith("[") and name.endswith("]") else name

    def __str__(self) -> str:
        scheme = f"{self.scheme}:" if self.scheme else ""
        query = f"?{self.query}" if self.query or self.has_empty_query else ""
        fragment = f"#{percent_encoded(self.fragment.encode(errors='surrogatepass'), _FRAGMENT_SAFE)}" if self.fragment else ""
        if self.opaque:
            return f"{scheme}{self.opaque}{query}{fragment}"
        user = f"{self.user}@" if self.user else ""
        authority = f"//{user}{self.host}" if self.has_authority else ""
        return f"{scheme}{authority}{self.path}{query}{fragment}"


def request_uri(text: str) -> GoURL:
    """What the target of a request can be: a URL with a scheme, or an absolute path. Raises ValueError with Go's text."""
    try:
        return _parse(text, via_request=True)
    except ValueError as error:
        raise ValueError(f"parse {quote(text[:_SHOWN])}: {error}") from None


def reference(text: str) -> GoURL:
    """A URL, with a fragment after `#`. Raises ValueError with Go's text."""
    before, _, fragment = text.partition("#")
    try:
        found = _parse(before, via_request=False)
        return found._replace(fragment=_unescaped(fragment))
    except ValueError as error:
        raise ValueError(f"parse {quote(text[:_SHOWN])}: {error}") from None


def _parse(text: str, *, via_request: bool) -> GoURL:
    if _CONTROL.search(text):
        raise ValueError("net/url: invalid control character in URL")
    if not text and via_request:
        raise ValueError("empty url")
    if text == "*":
        return GoURL("", "", "", "", "*", "", "", False, False)
    scheme, rest = _scheme(text)
    has_empty_query = rest.endswith("?") and rest.count("?") == 1
    rest, _, query = rest.partition("?")
    if not rest.startswith("/"):
        if scheme:
            return GoURL(scheme, rest, "", "", "", query, "", has_empty_query, False)
        if via_request:
            raise ValueError("invalid URI for request")
        if ":" in rest.partition("/")[0]:
            raise ValueError("first path segment in URL cannot contain colon")
    user = host = ""
    has_authority = rest.startswith("//") and (bool(scheme) or (not via_request and not rest.startswith("///")))
    if has_authority:
        authority, slash, path = rest[2:].partition("/")
        rest = slash + path
        user, host = _authority(scheme, authority)
    return GoURL(scheme, "", user, host, _escaped_path(rest), query, "", has_empty_query, has_authority)


def _scheme(text: str) -> tuple[str, str]:
    if text.startswith(":"):
        raise ValueError("missing protocol scheme")
    match = _SCHEME.match(text)
    if match is None or text[match.end() : match.end() + 1] != ":":
        return "", text
    return match.group().lower(), text[match.end() + 1 :]


def _authority(scheme: str, authority: str) -> tuple[str, str]:
    user, at, host = authority.rpartition("@")
    host = _host(scheme, host)
    if at and not _USER.fullmatch(user):
        raise ValueError("net/url: invalid userinfo")
    _unescaped(user)
    return user, host


def _host(scheme: str, host: str) -> str:
    opened = host.rfind("[")
    if opened > 0:
        raise ValueError("invalid IP-literal")
    if opened == 0:
        closed = host.rfind("]")
        if closed < 0:
            raise ValueError("missing ']' in host")
        port = host[closed + 1 :]
        if not _PORT.fullmatch(port):
            raise ValueError(f"invalid port {quote(port)} after host")
        name = _unescaped_host(host[1:closed].replace("%25", "%", 1))
        problem = address_problem(name)
        if problem:
            raise ValueError(f"invalid host: ParseAddr({quote(name)}): {problem}")
        if ":" not in name:
            raise ValueError("invalid IP-literal")
        return f"[{name}]{port}"
    if ":" in host:
        strict = scheme in ("http", "https")
        port = host[host.find(":") if strict else host.rfind(":") :]
        if not _PORT.fullmatch(port):
            raise ValueError(f"invalid port {quote(port)} after host")
    return _unescaped_host(host)


def _unescaped_host(host: str) -> str:
    wrong = _HOST_ESCAPE.search(host)
    if wrong is not None:
        raise ValueError(f"invalid URL escape {quote(host[wrong.start() : wrong.start() + 3])}")
    bad = _HOST_BAD.search(host)
    if bad is not None:
        raise ValueError(f"invalid character {quote(bad.group())} in host name")
    return _unescaped(host)


def _unescaped(text: str) -> str:
    wrong = _BAD_ESCAPE.search(text)
    if wrong is not None:
        raise ValueError(f"invalid URL escape {quote(text[wrong.start() : wrong.start() + 3])}")
    return unquote_to_bytes(text.encode(errors="surrogatepass")).decode(errors="surrogateescape") if "%" in text else text


def _escaped_path(path: str) -> str:
    plain = _unescaped(path)
    return path if _PATH.fullmatch(path) else percent_encoded(plain.encode(errors="surrogateescape"), _PATH_SAFE)
