"""Resolves WorkspaceTypes: a type with all types that it extends (kcp)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from tenantry.base.cache import Cache
from tenantry.kube.objects import GroupResource, Object, annotations_of
from tenantry.kube.status import StatusError
from tenantry.placement.catalog import Catalog
from tenantry.placement.paths.directory import Directory
from tenantry.tenancy.reserved_keys import LABELS, is_reserved
from tenantry.tenancy.resources import WORKSPACE_TYPES
from tenantry.tenancy.well_known import PATH_ANNOTATION, ROOT

TYPE_ANNOTATION = "internal.tenancy.kcp.io/type"
"""On a LogicalCluster: its type as `<path>:<name>`."""
WORKSPACES = GroupResource("tenancy.kcp.io", "workspaces")
API_BINDINGS_INITIALIZER = "system:apibindings"
UNIVERSAL_INITIALIZER = "root:universal"
"""kcp's initializer that creates the namespaces. Here they are created with the cluster, so the initializer is done at once."""
OWN_INITIALIZERS = frozenset({UNIVERSAL_INITIALIZER, API_BINDINGS_INITIALIZER})
EXTENDED_TYPES_MAX = 100
"""The most types that a type may extend, directly and indirectly: tenants write these references."""


class TypeUnresolved(ValueError):
    """A type cannot be resolved. The message says which and why."""


class TypeName(NamedTuple):
    """A type by the path of its workspace and its name, as in references and annotations."""

    path: str
    name: str

    def __str__(self) -> str:
        return f"{self.path}:{self.name}"


HOME_TYPE = TypeName(ROOT, "home")


class DefaultBinding(NamedTuple):
    """An export that workspaces of a type are bound to. `cluster`: its cluster id. `path`: as the type has it, never empty.
    `maintain`: whether the binding is kept up to date after creation."""

    cluster: str
    path: str
    export: str
    maintain: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One type of a resolved type. `cluster`: the id of its workspace."""

    cluster: str
    name: TypeName
    object: Object

    @property
    def spec(self) -> Object:
        return self.object.get("spec") or {}

    @property
    def identifier(self) -> str:
        """The name of its initializer and terminator: `<cluster id>:<type>`."""
        return f"{self.cluster}:{self.name.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedType:
    """A type and all types that it extends, itself first. `aliases`: the names of all of them."""

    members: tuple[Member, ...]
    aliases: frozenset[TypeName]
    initializers: tuple[str, ...]
    terminators: tuple[str, ...]
    bindings: tuple[DefaultBinding, ...]

    @property
    def own(self) -> Member:
        return self.members[0]

    @property
    def labels(self) -> dict[str, str]:
        """The labels that workspaces of the type get, without reserved ones, which an older type may have."""
        wanted = self.own.spec.get("additionalWorkspaceLabels") or {}
        return {key: value for key, value in wanted.items() if not is_reserved(LABELS, key, WORKSPACES)}

    @property
    def default_child(self) -> TypeName | None:
        """The default type of child workspaces. It is not inherited from extended types."""
        child = self.own.spec.get("defaultChildWorkspaceType")
        return TypeName(child.get("path") or "", child["name"]) if child else None


class WorkspaceTypes:
    """Resolves types from the catalog. Results are cached until any type changes."""

    def __init__(self, *, catalog: Catalog, directory: Directory) -> None:
        self._catalog = catalog
        self._directory = directory
        self._resolved: Cache[tuple[str, str], ResolvedType] = Cache("workspace_types", bytes_max=8 << 20)
        self._catalog.subscribe(WORKSPACE_TYPES, self._changed)

    def resolve(self, path: str, name: str) -> ResolvedType:
        """The type `name` of the workspace at `path` (a path or an id). Raises TypeUnresolved."""
        cluster = self._cluster_of(path)
        if cluster is None:
            raise TypeUnresolved(f"workspace type {path}:{name} cannot be resolved: no such workspace")
        known = self._resolved.get((cluster, name))
        if known is None:
            known = self._resolve(cluster, name)
            self._resolved.put((cluster, name), known)
        return known

    def of(self, cluster: str, logical_cluster: Object) -> TypeName | None:
        """The type of a cluster: the one in its Workspace, which admission has checked. None if it is unknown.

        Without a Workspace that has a type (`root`, and clusters that system:masters created), the annotation of the
        LogicalCluster counts. It comes second because users could write it in earlier versions.
        """
        parent = self._directory.parent_of(cluster)
        if parent is None and self._directory.knows(cluster):
            return HOME_TYPE
        workspace = self._directory.workspace(*parent) if parent is not None else None
        written = parse_annotation((workspace or {}).get("type") or "")
        if parent is not None and written is not None:
            return written if written.path else TypeName(parent[0], written.name)
        return parse_annotation(annotations_of(logical_cluster).get(TYPE_ANNOTATION, ""))

    def unpublished(self, spec: Object, range_name: str) -> str:
        """An initializer or terminator in the spec of a LogicalCluster whose type does not have the URLs of a range in its status
        yet; empty if there is none.

        The controller of such a type would find the LogicalCluster at a URL that it does not know. A type that is gone has no
        controller, and the system does its own initializers without a URL.
        """
        prefix = f"/ranges/{range_name}/services/"
        for identifier in (*(spec.get("initializers") or ()), *(spec.get("terminators") or ())):
            cluster, _, name = identifier.rpartition(":")
            found = self._catalog.get(WORKSPACE_TYPES, cluster, name) if identifier not in OWN_INITIALIZERS else None
            if found is not None:
                urls = (found.get("status") or {}).get("virtualWorkspaces") or ()
                if not any(prefix in entry["url"] for entry in urls):
                    return str(identifier)
        return ""

    def exists(self, cluster: str, name: str) -> bool:
        return self._catalog.get(WORKSPACE_TYPES, cluster, name) is not None

    def canonical(self, cluster: str, name: str) -> TypeName:
        """The TypeName of an existing type, with the canonical path of its workspace."""
        obj = self._catalog.get(WORKSPACE_TYPES, cluster, name) or {}
        return TypeName(self._directory.path_of(cluster) or annotations_of(obj).get(PATH_ANNOTATION) or cluster, name)

    def search(self, cluster: str, name: str) -> TypeName | None:
        """The type that a reference without a path means: the first of that name in this workspace, its ancestors and root
        (kcp)."""
        current: str | None = cluster
        while current is not None:
            if self.exists(current, name):
                return self.canonical(current, name)
            parent = self._directory.parent_of(current)
            current = parent[0] if parent is not None else None
        return self.canonical(ROOT, name) if self.exists(ROOT, name) else None

    def _changed(self, *_: object) -> None:
        self._resolved.clear()

    def _cluster_of(self, path: str) -> str | None:
        try:
            return self._directory.cluster_of(path)
        except StatusError:
            return None

    def _resolve(self, cluster: str, name: str) -> ResolvedType:
        members: list[Member] = []
        self._add_members(cluster, name, (), members)
        initializers = [m.identifier for m in members if m.spec.get("initializer")]
        bindings = tuple(dict.fromkeys(self._bindings(members)))
        if bindings:
            initializers.append(API_BINDINGS_INITIALIZER)
        return ResolvedType(
            members=tuple(members),
            aliases=frozenset(m.name for m in members),
            initializers=tuple(initializers),
            terminators=tuple(m.identifier for m in members if m.spec.get("terminator")),
            bindings=bindings,
        )

    def _add_members(self, cluster: str, name: str, above: tuple[tuple[str, str], ...], members: list[Member]) -> None:
        place = (cluster, name)
        if place in above:
            raise TypeUnresolved(f"workspace type {self.canonical(cluster, name)} extends itself: {_chain_text((*above, place))}")
        if any((m.cluster, m.name.name) == place for m in members):
            return
        obj = self._catalog.get(WORKSPACE_TYPES, cluster, name)
        if obj is None:
            raise TypeUnresolved(
                f"workspace type {self._directory.path_of(cluster) or cluster}:{name} cannot be resolved: not found"
            )
        if len(members) >= EXTENDED_TYPES_MAX:
            raise TypeUnresolved(f"workspace type {self.canonical(*above[0])} extends more than {EXTENDED_TYPES_MAX} types")
        members.append(Member(cluster=cluster, name=self.canonical(cluster, name), object=obj))
        for reference in ((obj.get("spec") or {}).get("extend") or {}).get("with") or ():
            path = reference.get("path") or ""
            extended = self._cluster_of(path) if path else cluster
            if extended is None:
                raise TypeUnresolved(f"workspace type {path}:{reference['name']} cannot be resolved: no such workspace")
            self._add_members(extended, reference["name"], (*above, place), members)

    def _bindings(self, members: Iterable[Member]) -> Iterable[DefaultBinding]:
        for member in members:
            maintain = member.spec.get("defaultAPIBindingLifecycle") == "Maintain"
            for reference in member.spec.get("defaultAPIBindings") or ():
                path = reference.get("path") or member.name.path
                yield DefaultBinding(self._cluster_of(path) or path, path, reference["export"], maintain)


def _chain_text(places: Iterable[tuple[str, str]]) -> str:
    return " → ".join(f"{cluster}:{name}" for cluster, name in places)


def parse_annotation(text: str) -> TypeName | None:
    """The TypeName in a value of `TYPE_ANNOTATION`; None if there is none."""
    path, colon, name = text.rpartition(":")
    return TypeName(path, name) if colon else None


def limit_errors(parent: ResolvedType, child: ResolvedType) -> list[str]:
    """The reasons why a workspace of type `child` may not be created in one of type `parent`; empty if it may (kcp).

    The limits of all types in both chains apply. Any alias of the other type satisfies a limit.
    """
    errors: list[str] = []
    for member in child.members:
        errors.extend(_limit(member, "limitAllowedParents", "parent", parent))
    for member in parent.members:
        errors.extend(_limit(member, "limitAllowedChildren", "child", child))
    return errors


def _limit(member: Member, field: str, relation: str, other: ResolvedType) -> Iterable[str]:
    limit = member.spec.get(field)
    if not limit:
        return
    if limit.get("none"):
        yield f"workspace type {member.name} does not allow any {relation} workspaces"
        return
    allowed = [TypeName(r.get("path") or member.name.path, r["name"]) for r in limit.get("types") or ()]
    if allowed and not other.aliases.intersection(allowed):
        yield (
            f"workspace type {member.name} only allows [{' '.join(map(str, allowed))}] {relation} workspaces, "
            f"but {relation} type {other.own.name} only implements [{' '.join(sorted(map(str, other.aliases)))}]"
        )
