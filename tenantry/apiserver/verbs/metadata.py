"""The metadata fields that the server owns."""

from __future__ import annotations

import random
from typing import Any

from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.field_errors import invalid as invalid_field
from tenantry.kube.metadata_validation import without_repeated
from tenantry.kube.objects import CLUSTER_ANNOTATION, Object
from tenantry.kube.status import StatusError, bad_request, invalid, new_uid

_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH = 5
_GENERATED_BASE_LENGTH = 58
_choices = random.SystemRandom().choices

NAMES_TRIED = 8
"""How many generated names are tried before the client gets the conflict (KEP-4420)."""


def generate_name(base: str) -> str:
    """A name from metadata.generateName: at most 58 characters of it, and five random characters that cannot spell a word."""
    return base[:_GENERATED_BASE_LENGTH] + "".join(_choices(_SUFFIX_ALPHABET, k=_SUFFIX_LENGTH))


def check_namespace(obj: Object, namespace: str) -> None:
    """Sets the namespace of the request on the object. Raises StatusError 400 where the object names another one."""
    metadata = obj["metadata"]
    given = metadata.get("namespace")
    if not namespace:
        metadata.pop("namespace", None)
    elif not given:
        metadata["namespace"] = namespace
    elif given != namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")


def check_name(obj: Object, name: str) -> None:
    """Raises StatusError 400 where the name in the body of a PUT or PATCH is not the name in the URL."""
    given = obj["metadata"].get("name")
    if not given:
        raise unnamed(name)
    if given != name:
        raise bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")


def unnamed(name: str) -> StatusError:
    """400 for a body without a name, for the object of this name in the URL."""
    return bad_request(f"the name of the object ({name} based on URL) was undeterminable: name must be provided")


def check_type(obj: Object, definition: ResourceDefinition, api_version: str) -> None:
    """Raises StatusError 422 where an object of a custom type is of another kind, or in another version, than those of the URL:
    its body is decoded whatever kind it names."""
    kind, given = obj["kind"], obj.get("apiVersion") or ""
    if kind != definition.kind:
        error = invalid_field("kind", kind, f"must be {definition.kind}")
    elif given != api_version:
        error = invalid_field("apiVersion", given, f"must be {api_version}")
    else:
        return
    raise invalid(given.rpartition("/")[0], kind, obj["metadata"].get("name", ""), [error])


def remove_cluster(obj: Object) -> None:
    """Removes kcp.io/cluster. Only the server sets it, so no writer owns or changes it. The annotations may be of any type."""
    metadata = obj["metadata"]
    annotations = metadata.get("annotations")
    if isinstance(annotations, dict) and CLUSTER_ANNOTATION in annotations:
        if len(annotations) == 1:
            del metadata["annotations"]
        else:
            metadata["annotations"] = {key: value for key, value in annotations.items() if key != CLUSTER_ANNOTATION}


def without_cluster(value: Any) -> Any:
    """The value, or where it is an object with kcp.io/cluster, a copy without it. The value is anything that a patch makes."""
    metadata = value.get("metadata") if isinstance(value, dict) else None
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    if not isinstance(annotations, dict) or CLUSTER_ANNOTATION not in annotations:
        return value
    copy: Object = {**value, "metadata": dict(value["metadata"])}
    remove_cluster(copy)
    return copy


def set_cluster(obj: Object, cluster: str) -> None:
    """Sets kcp.io/cluster, which every stored object has."""
    metadata = obj["metadata"]
    metadata["annotations"] = {**(metadata.get("annotations") or {}), CLUSTER_ANNOTATION: cluster}


def drop_deletion(obj: Object) -> None:
    """Removes deletionTimestamp and deletionGracePeriodSeconds (an object cannot be created as deleted), and selfLink."""
    metadata = obj["metadata"]
    for name in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
        metadata.pop(name, None)


def begin(obj: Object, now: str, *, tracks_generation: bool) -> None:
    """Sets the server's fields of a new object."""
    metadata = obj["metadata"]
    metadata.pop("resourceVersion", None)
    metadata["creationTimestamp"] = now
    metadata["uid"] = new_uid()
    if tracks_generation:
        metadata["generation"] = 1
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = generate_name(metadata["generateName"])


def carry_over(obj: Object, old: Object) -> None:
    """Restores fields that an update may not change silently: those that are missing in the update, and in any case
    creationTimestamp and generation."""
    metadata, before = obj["metadata"], old["metadata"]
    metadata.pop("selfLink", None)
    metadata.pop("resourceVersion", None)
    for name in ("creationTimestamp", "generation"):
        if name in before:
            metadata[name] = before[name]
        else:
            metadata.pop(name, None)
    for name in ("uid", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if metadata.get(name) in (None, ""):
            if name in before:
                metadata[name] = before[name]
            else:
                metadata.pop(name, None)


_FILLED_IN = ("creationTimestamp", "generation", "uid", "deletionTimestamp", "deletionGracePeriodSeconds")


def filled_in(obj: Object, old: Object) -> dict[str, Any]:
    """The metadata that `carry_over` is going to change: name → the value that was sent, None if there is none."""
    metadata, before = obj["metadata"], old["metadata"]
    return {name: metadata.get(name) for name in _FILLED_IN if metadata.get(name) != before.get(name)}


def drop_repeated_owners(obj: Object) -> None:
    """Removes owner references that are equal to an earlier one."""
    owners = obj["metadata"].get("ownerReferences")
    if not owners or len(owners) < 2:
        return
    kept, repeated = without_repeated(owners)
    if repeated:
        obj["metadata"]["ownerReferences"] = kept
