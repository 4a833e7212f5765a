"""What clients are told where stored objects cannot be had in the version that they ask for (upstream's texts)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tenantry.kube.objects import GroupResource
from tenantry.kube.status import TEXT_CHARACTERS, Cause, StatusError, cut, internal
from tenantry.storage.record import Record

LISTED_MAX = 100
"""So many objects are named in the error of a list."""


class NotDecodable(StatusError):
    """A record whose object cannot be converted. `why`: what is wrong. `is_about_object`: and not with the webhook as such."""

    def __init__(self, record: Record, resource: GroupResource, why: str, *, is_about_object: bool = True) -> None:
        super().__init__(500, "", f"object not decodable revision={record.version}: {cut(why, TEXT_CHARACTERS)}")
        self.key = "".join(f"/{part}" for part in (*resource, record.key.namespace, record.key.name) if part)
        self.resource = resource
        self.why = why
        self.is_about_object = is_about_object

    def corrupt(self, key: str) -> str:
        """The error of a reader of this object."""
        return f"StorageError: corrupt object, Code: 7, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: {self.message}"


@contextmanager
def reading() -> Iterator[None]:
    """Around what reads one object: an object that cannot be decoded is an error of the storage there, and not of the write."""
    try:
        yield
    except NotDecodable as error:
        raise internal(error.corrupt(error.key)) from None


def not_listed(errors: Sequence[NotDecodable]) -> StatusError:
    """The error of a list in which objects, at least one, cannot be decoded."""
    group, plural = errors[0].resource
    causes = [Cause("UnexpectedServerResponse", error.corrupt(_stored(error)), _stored(error)) for error in errors]
    if len(errors) >= LISTED_MAX:
        causes.append(Cause("FieldValueTooMany", "too many errors, the list is truncated", ""))
    what = f"{plural}.{group}" if group else plural
    text = f"failed to read one or more {what} from the storage: {errors[0].corrupt(_stored(errors[0]))}"
    if len(errors) > 1:
        text = f"{text} (and {len(errors) - 1} more)"
    details = {"name": "list", "group": group, "kind": plural, "causes": [cause.to_object() for cause in causes]}
    return StatusError(500, "StorageReadError", text, details=details)


def _stored(error: NotDecodable) -> str:
    return f"/registry{error.key}"
