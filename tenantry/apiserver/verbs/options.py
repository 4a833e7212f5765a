"""Options of requests, from the query and, for deletions, the body. Parsed and validated as in meta/v1."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tenantry.apiserver.body_decoding import check_values, parse
from tenantry.apiserver.negotiation import PROTOBUF, YAML, body_media_type
from tenantry.apiserver.request import Request
from tenantry.apiserver.request_info import is_true
from tenantry.apiserver.worker_threads import run_weighed, weigh
from tenantry.kube.codec import json_slices
from tenantry.kube.codec.json_codec import syntax_error
from tenantry.kube.field_errors import forbidden, invalid, not_supported
from tenantry.kube.go_text import quote
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError, StatusError, bad_request
from tenantry.kube.status import invalid as invalid_object

IGNORE, WARN, STRICT = "Ignore", "Warn", "Strict"
BACKGROUND, FOREGROUND, ORPHAN = "Background", "Foreground", "Orphan"
EXACT, NOT_OLDER_THAN = "Exact", "NotOlderThan"

_MANAGER_LIMIT = 128
_INTEGER = re.compile(r"[+-]?[0-9]+\Z")
_DIGITS = 21
"""More digits than the largest 64-bit number has."""
UNREADABLE = "ignoreStoreReadErrorWithClusterBreakingPotential"
_NOT_WITH_UNREADABLE = ("propagationPolicy", "orphanDependents", "gracePeriodSeconds", "preconditions")
_META_GROUP = "meta.k8s.io"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """CreateOptions, UpdateOptions and PatchOptions."""

    dry_run: bool = False
    manager: str = ""
    validation: str = WARN
    force: bool = False
    sent: Mapping[str, Any] = field(default_factory=dict)
    """The options that were given, as dynamic admission sees them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """`propagation` is empty, Background, Foreground or Orphan."""

    dry_run: bool = False
    uid: str | None = None
    resource_version: str | None = None
    propagation: str = ""
    orphan_dependents: bool | None = None
    grace_period_seconds: int | None = None
    unreadable: bool = False
    """ignoreStoreReadErrorWithClusterBreakingPotential (KEP-3926): only what cannot be read from the store is to be deleted."""
    sent: Mapping[str, Any] = field(default_factory=dict)
    """The options that were given, as dynamic admission sees them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    """`resource_version` is the text as sent. `limit` 0 means no limit. `timeout_seconds` None means not set."""

    label_selector: str = ""
    field_selector: str = ""
    resource_version: str = ""
    match: str = ""
    limit: int = 0
    continue_token: str = ""
    timeout_seconds: int | None = None
    bookmarks: bool = False
    send_initial_events: bool | None = None


DEFAULT_WRITE = WriteOptions()
DEFAULT_LIST = ListOptions()


def manager_of(request: Request, named: str) -> str:
    """The field manager: the given name, else the User-Agent up to its first slash."""
    if named:
        return named
    agent = request.header("user-agent").partition("/")[0]
    if not agent.isprintable():
        agent = "".join(c for c in agent if c.isprintable())
    return agent[:_MANAGER_LIMIT] or "unknown"


def write_options(request: Request, kind: str, *, apply: bool = False) -> WriteOptions:
    """`kind` is CreateOptions, UpdateOptions or PatchOptions. Raises StatusError 422."""
    if not request.raw_query:
        if apply:
            raise _refused(kind, [FieldError("Required", "fieldManager", "Required value: is required for apply patch")])
        return DEFAULT_WRITE
    query = request.query
    force = is_true(query["force"]) if query.get("force") else None
    manager = request.parameter("fieldManager")
    errors: list[FieldError] = []
    if kind == "PatchOptions":
        if apply:
            if not manager:
                errors.append(FieldError("Required", "fieldManager", "Required value: is required for apply patch"))
        elif force is not None:
            errors.append(forbidden("force", "may not be specified for non-apply patch"))
    errors += _manager_errors(manager)
    errors += _dry_run_errors(query.get("dryRun"))
    validation = request.parameter("fieldValidation")
    if validation not in ("", IGNORE, WARN, STRICT):
        errors.append(not_supported("fieldValidation", validation, ("", IGNORE, STRICT, WARN)))
    if errors:
        raise _refused(kind, errors)
    sent = {"dryRun": query.get("dryRun"), "fieldManager": manager, "fieldValidation": validation}
    return WriteOptions(
        dry_run=bool(query.get("dryRun")),
        manager=manager,
        validation=validation or WARN,
        force=bool(force),
        sent={name: value for name, value in sent.items() if value},
    )


def list_options(request: Request, *, watch: bool) -> ListOptions:
    """Raises StatusError 400 for a value that cannot be parsed, and 422 for a combination that is not allowed."""
    if not request.raw_query:
        return DEFAULT_LIST
    query = request.query
    initial = query.get("sendInitialEvents")
    timeout = query.get("timeoutSeconds")
    options = ListOptions(
        label_selector=request.parameter("labelSelector"),
        field_selector=request.parameter("fieldSelector"),
        resource_version=request.parameter("resourceVersion"),
        match=request.parameter("resourceVersionMatch"),
        limit=max(0, integer(query["limit"][0])) if "limit" in query else 0,
        continue_token=request.parameter("continue"),
        timeout_seconds=integer(timeout[0]) if timeout else None,
        bookmarks=is_true(query.get("allowWatchBookmarks")),
        send_initial_events=is_true(initial) if initial else None,
    )
    errors = _watch_errors(options) if watch else _list_errors(options)
    if errors:
        raise _refused("ListOptions", errors)
    return options


async def delete_options(request: Request, limit_bytes: int) -> DeleteOptions:
    """The options from the body where there is one, else from the query. Raises StatusError."""
    body = await request.read_body(limit_bytes)
    if body:
        given = await _options_object(request, body)
        if request.audit is not None:
            # Upstream's internal version: the options are written out after they were read.
            request.audit.sent_value({**given, "kind": "DeleteOptions", "apiVersion": "meta.k8s.io/__internal"})
        options = _delete_options_of(given)
    elif request.raw_query:
        options = _delete_options_of(_options_query(request))
    else:
        return DeleteOptions()
    if body and not options.dry_run and request.raw_query and request.query.get("dryRun"):
        _raise_if("DeleteOptions", _dry_run_errors(request.query["dryRun"]))
        options = replace(options, dry_run=True, sent={**options.sent, "dryRun": request.query["dryRun"]})
    return options


def integer(text: str) -> int:
    """A decimal integer in a query parameter. Raises StatusError 400 with Go's text."""
    if not _INTEGER.match(text):
        raise bad_request(f"strconv.ParseInt: parsing {quote(text)}: invalid syntax")
    value = _whole(text)
    if not -(2**63) <= value < 2**63:
        raise bad_request(f"strconv.ParseInt: parsing {quote(text)}: value out of range")
    return value


def unsigned(text: str) -> int:
    """A resourceVersion as a number. Raises ValueError with Go's text."""
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"strconv.ParseUint: parsing {quote(text)}: invalid syntax")
    value = _whole(text)
    if value >= 2**64:
        raise ValueError(f"strconv.ParseUint: parsing {quote(text)}: value out of range")
    return value


def _whole(text: str) -> int:
    """An integer of any length. Digits beyond every range are cut off first, because int() takes quadratic time."""
    digits = text.lstrip("+-").lstrip("0")
    return int(f"{'-' if text[0] == '-' else ''}{digits[:_DIGITS] or 0}")


def _list_errors(options: ListOptions) -> list[FieldError]:
    errors: list[FieldError] = []
    version, match = options.resource_version, options.match
    if match:
        if not version:
            errors.append(
                forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided")
            )
        if options.continue_token:
            errors.append(forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"))
        if match not in (EXACT, NOT_OLDER_THAN):
            errors.append(not_supported("resourceVersionMatch", match, (EXACT, NOT_OLDER_THAN, "")))
        if match == EXACT and version == "0":
            errors.append(forbidden("resourceVersionMatch", 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
    if options.send_initial_events is not None:
        errors.append(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return errors


def _watch_errors(options: ListOptions) -> list[FieldError]:
    errors: list[FieldError] = []
    match = options.match
    if options.send_initial_events is not None:
        if match != NOT_OLDER_THAN:
            errors.append(
                forbidden("resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
            )
        if match not in ("", NOT_OLDER_THAN):
            errors.append(not_supported("resourceVersionMatch", match, (NOT_OLDER_THAN,)))
    elif match:
        errors.append(
            forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
        )
    if match and options.continue_token:
        errors.append(forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"))
    return errors


def _manager_errors(manager: str) -> list[FieldError]:
    if len(manager) > _MANAGER_LIMIT:
        return [FieldError("TooLong", "fieldManager", f"Too long: may not be more than {_MANAGER_LIMIT} bytes")]
    return [
        invalid("fieldManager", manager, f"invalid character U+{ord(c):04X} (at position {i})")
        for i, c in enumerate(manager)
        if not c.isprintable()
    ]


def _dry_run_errors(values: Sequence[str] | None) -> list[FieldError]:
    if values is None or all(value == "All" for value in values):
        return []
    return [not_supported("dryRun", list(values), ("All",))]


def _refused(kind: str, errors: list[FieldError]) -> StatusError:
    return invalid_object(_META_GROUP, kind, "", errors)


def _raise_if(kind: str, errors: list[FieldError]) -> None:
    if errors:
        raise _refused(kind, errors)


async def _options_object(request: Request, body: bytes) -> Object:
    media_type = body_media_type(request)
    try:
        if media_type in (PROTOBUF, YAML):
            value, _ = await parse(body, media_type, "DeleteOptions" if media_type == PROTOBUF else "", api_version="v1")
        else:
            check_values(body)
            value = await run_weighed("", weigh(body), lambda: json_slices.loads(body))
    except ValueError:
        raise bad_request(f"couldn't get version/kind; json parse error: {syntax_error(body)}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad_request("couldn't get version/kind; json parse error: the body is not an object")
    kind, api_version = value.get("kind") or "DeleteOptions", value.get("apiVersion") or "v1"
    if kind != "DeleteOptions":
        raise bad_request(f'no kind "{kind}" is registered for version "{api_version}" in scheme "pkg/runtime/scheme.go:111"')
    return value


def _options_query(request: Request) -> Object:
    query = request.query
    out: Object = {}
    if "dryRun" in query:
        out["dryRun"] = query["dryRun"]
    if query.get("propagationPolicy"):
        out["propagationPolicy"] = query["propagationPolicy"][0]
    if "orphanDependents" in query:
        out["orphanDependents"] = is_true(query["orphanDependents"])
    if "gracePeriodSeconds" in query:
        out["gracePeriodSeconds"] = integer(query["gracePeriodSeconds"][0])
    if UNREADABLE in query:
        out[UNREADABLE] = is_true(query[UNREADABLE])
    return out


_TYPES: tuple[tuple[str, type, str], ...] = (
    ("gracePeriodSeconds", int, "int64"),
    ("orphanDependents", bool, "bool"),
    ("propagationPolicy", str, "v1.DeletionPropagation"),
    ("preconditions", dict, "v1.Preconditions"),
    ("dryRun", list, "[]string"),
    (UNREADABLE, bool, "bool"),
)
_JSON_NAMES: dict[type, str] = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}


def refuse_unreadable(options: DeleteOptions) -> None:
    """Raises StatusError 422 where a collection is to be deleted with an option for one object."""
    if options.unreadable:
        text = "is not allowed with DELETECOLLECTION, try again after removing the option"
        raise _refused("DeleteOptions", [invalid(UNREADABLE, True, text)])


def _delete_options_of(value: Object) -> DeleteOptions:
    for name, wanted, go_type in _TYPES:
        given = value.get(name)
        if given is not None and (not isinstance(given, wanted) or (wanted is int and isinstance(given, bool))):
            raise bad_request(
                f"json: cannot unmarshal {_JSON_NAMES[type(given)]} into Go struct field DeleteOptions.{name} of type {go_type}"
            )
    policy, orphan = value.get("propagationPolicy"), value.get("orphanDependents")
    errors: list[FieldError] = []
    if policy is not None and orphan is not None:
        errors.append(invalid("propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set"))
    if policy is not None and policy not in (FOREGROUND, BACKGROUND, ORPHAN):
        errors.append(not_supported("propagationPolicy", policy, (FOREGROUND, BACKGROUND, ORPHAN, "nil")))
    errors += _dry_run_errors(value.get("dryRun"))
    if value.get(UNREADABLE):
        others = (name for name in _NOT_WITH_UNREADABLE if value.get(name) is not None)
        errors += [invalid(UNREADABLE, True, f"cannot be set together with .{name}") for name in others]
    _raise_if("DeleteOptions", errors)
    preconditions = value.get("preconditions") or {}
    return DeleteOptions(
        dry_run=bool(value.get("dryRun")),
        uid=preconditions.get("uid"),
        resource_version=preconditions.get("resourceVersion"),
        propagation=policy or "",
        orphan_dependents=orphan,
        grace_period_seconds=value.get("gracePeriodSeconds"),
        unreadable=bool(value.get(UNREADABLE)),
        sent={name: value[name] for name, _, _ in _TYPES if value.get(name) is not None},
    )
