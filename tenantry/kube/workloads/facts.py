"""The facts about workload types in `kubernetes.txt`, which `tools/workload_types.py` writes.

It begins with the resources: a line `resource <group or core> <version> <plural> <singular> <kind> <scope>`, and lines for its
short names, categories, subresources, other versions and columns (`column <type> <format or -> <priority> <name>`). The messages
follow, each after those that it uses: `message <ref>` or `kind <ref>`, and a table as in `tenantry.kube.message_tables`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from tenantry.kube.message_tables import LABEL_SELECTOR, OBJECT_META, Message, kind, message
from tenantry.kube.objects import split_api_version
from tenantry.kube.types.service_account import LOCAL_OBJECT_REFERENCE, OBJECT_REFERENCE

_FILE = Path(__file__).with_name("kubernetes.txt")
_MESSAGES = ("message", "kind")
_SUFFIX = ".k8s.io"
_API, _META = "io.k8s.api.", "io.k8s.apimachinery.pkg.apis.meta.v1."


class ColumnFacts(NamedTuple):
    """The head of a column. `format` is `name` or empty."""

    name: str
    type: str
    format: str
    priority: int


class Resource(NamedTuple):
    """One resource. `group` is empty for the core group."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    short_names: tuple[str, ...]
    categories: tuple[str, ...]
    subresources: tuple[str, ...]
    columns: tuple[ColumnFacts, ...]
    other_versions: tuple[str, ...]
    """The versions beside `version`, in which objects are stored."""

    def message(self, version: str) -> str:
        """The name of the message of a version: `core.v1.Pod`."""
        return f"{self.group.removesuffix(_SUFFIX) or 'core'}.{version}.{self.kind}"


@lru_cache(maxsize=1)
def resources() -> tuple[Resource, ...]:
    """All resources, in the order of the file. The messages are not read."""
    head: list[list[list[str]]] = []
    with _FILE.open(encoding="utf-8") as lines:
        for line in lines:
            words = line.split()
            if words[0] in _MESSAGES:
                break
            if words[0] == "resource":
                head.append([])
            if head:
                head[-1].append(words)
    return tuple(map(_resource, head))


def _resource(lines: list[list[str]]) -> Resource:
    _, group, version, plural, singular, of, scope = lines[0]
    words: dict[str, tuple[str, ...]] = {line[0]: tuple(line[1:]) for line in lines[1:] if line[0] != "column"}
    columns = [_column(line) for line in lines if line[0] == "column"]
    return Resource(
        group.removeprefix("core"),
        version,
        plural,
        singular,
        of,
        scope == "Namespaced",
        words.get("short", ()),
        words.get("categories", ()),
        words.get("subresources", ()),
        tuple(columns),
        words.get("versions", ()),
    )


def _column(words: list[str]) -> ColumnFacts:
    _, type_name, text_format, priority, *name = words
    return ColumnFacts(" ".join(name), type_name, text_format.removeprefix("-"), int(priority))


@lru_cache(maxsize=1)
def messages() -> Mapping[str, Message]:
    """All messages by name (`core.v1.PodSpec`), made at the first call, which takes two hundredths of a second."""
    found: dict[str, Message] = {
        "meta.v1.ObjectMeta": OBJECT_META,
        "meta.v1.LabelSelector": LABEL_SELECTOR,
        "core.v1.ObjectReference": OBJECT_REFERENCE,
        "core.v1.LocalObjectReference": LOCAL_OBJECT_REFERENCE,
    }
    for word, name, flags, table in _sections():
        package, _, _ = name.rpartition(".")
        ref = name.replace("meta.v1.", _META) if name.startswith("meta.") else _API + name
        # A line names the messages of its own package without the package.
        known = found | {other.removeprefix(f"{package}."): each for other, each in found.items() if other.startswith(package)}
        if word == "kind":
            found[name] = kind(ref, table, known=known)
        elif name not in found:
            found[name] = message(ref, table, known=known, atomic="atomic" in flags)
    return found


def workload_message(api_version: str, kind: str) -> Message | None:
    """The message of a kind. None for other kinds, and while no logical cluster has bound these types: a body does not make them
    read."""
    if not messages_are_read():
        return None
    group, version = split_api_version(api_version)
    found = messages().get(f"{group.removesuffix(_SUFFIX) or 'core'}.{version}.{kind}")
    return found if found is not None and found.root else None


def messages_are_read() -> bool:
    """Whether `messages` has them already."""
    return messages.cache_info().currsize > 0


def _sections() -> Iterator[tuple[str, str, list[str], str]]:
    """(word, name, flags, table) of each message."""
    head: list[str] = []
    table: list[str] = []
    for line in _FILE.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words[0] in _MESSAGES:
            if head:
                yield head[0], head[1], head[2:], "\n".join(table)
            head, table = words, []
        elif head:
            table.append(line)
    yield head[0], head[1], head[2:], "\n".join(table)
