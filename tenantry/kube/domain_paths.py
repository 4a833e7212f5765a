"""Paths that begin with a domain, as keys of a user's extra have (k8s.io/apimachinery's IsDomainPrefixedPath)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tenantry.kube.field_errors import invalid, required
from tenantry.kube.names import dns1123_subdomain_errors, regex_error
from tenantry.kube.status import FieldError

_FORM = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
_PATH = re.compile(_FORM, re.ASCII)


def domain_path_errors(key: str, path: str) -> Iterator[FieldError]:
    """`path`: of the field with the key."""
    if not key:
        yield required(path)
        return
    host, slash, rest = key.partition("/")
    if not slash or not host or not rest:
        yield invalid(path, key, 'must be a domain-prefixed path (such as "acme.io/foo")')
        return
    for text in dns1123_subdomain_errors(host):
        yield invalid(path, host, text)
    if not _PATH.fullmatch(rest):
        yield invalid(path, rest, regex_error("Invalid path", _FORM))
