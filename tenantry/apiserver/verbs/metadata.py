"""The fields of metadata that the server owns."""

from __future__ import annotations

import random

from tenantry.kube.objects import CLUSTER_ANNOTATION, Object
from tenantry.kube.status import bad_request, new_uid

_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH = 5
_GENERATED_BASE_LENGTH = 58
_choices = random.SystemRandom().choices

NAMES_TRIED = 8
"""How often a generated name may collide before the client is told (KEP-4420)."""


def generate_name(base: str) -> str:
    """A name from metadata.generateName: five characters that spell no words after at most 58 of the base."""
    return base[:_GENERATED_BASE_LENGTH] + "".join(_choices(_SUFFIX_ALPHABET, k=_SUFFIX_LENGTH))


def check_namespace(obj: Object, namespace: str) -> None:
    """Give the object the namespace of the request. Raises StatusError 400 where it names another one."""
    metadata = obj["metadata"]
    given = metadata.get("namespace")
    if not namespace:
        metadata.pop("namespace", None)
    elif not given:
        metadata["namespace"] = namespace
    elif given != namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")


def check_name(obj: Object, name: str) -> None:
    """Raises StatusError 400 where the object of a PUT or PATCH does not bear the name of the URL."""
    given = obj["metadata"].get("name")
    if not given:
        raise bad_request(f"the name of the object ({name} based on URL) was undeterminable: name must be provided")
    if given != name:
        raise bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")


def take_off_cluster(obj: Object) -> None:
    """Take kcp.io/cluster off: the server alone sets it, so no writer owns or changes it."""
    metadata = obj["metadata"]
    annotations = metadata.get("annotations")
    if annotations and CLUSTER_ANNOTATION in annotations:
        if len(annotations) == 1:
            del metadata["annotations"]
        else:
            metadata["annotations"] = {key: value for key, value in annotations.items() if key != CLUSTER_ANNOTATION}


def put_on_cluster(obj: Object, cluster: str) -> None:
    """Set kcp.io/cluster, as every object that is stored has it."""
    metadata = obj["metadata"]
    metadata["annotations"] = {**(metadata.get("annotations") or {}), CLUSTER_ANNOTATION: cluster}


def drop_deletion(obj: Object) -> None:
    """Nobody creates an object that is deleted already."""
    metadata = obj["metadata"]
    for name in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
        metadata.pop(name, None)


def begin(obj: Object, now: str, *, tracks_generation: bool) -> None:
    """Fill in the fields of a new object."""
    metadata = obj["metadata"]
    metadata.pop("resourceVersion", None)
    metadata["creationTimestamp"] = now
    metadata["uid"] = new_uid()
    if tracks_generation:
        metadata["generation"] = 1
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = generate_name(metadata["generateName"])


def carry_over(obj: Object, old: Object) -> None:
    """Put back what an update may not change silently: what is left empty, and creationTimestamp and generation in any case."""
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


def drop_repeated_owners(obj: Object) -> None:
    """Owner references with a uid that another one has go."""
    owners = obj["metadata"].get("ownerReferences")
    if not owners or len(owners) < 2:
        return
    kept: dict[str, Object] = {}
    for owner in owners:
        kept.setdefault(owner.get("uid", ""), owner)
    if len(kept) < len(owners):
        obj["metadata"]["ownerReferences"] = list(kept.values())
