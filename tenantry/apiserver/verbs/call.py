"""One request for a resource: what every verb and connector is given."""

from __future__ import annotations

from dataclasses import dataclass, field

from tenantry.apiserver.authorization import Attributes
from tenantry.apiserver.forbidden import forbidden_request
from tenantry.apiserver.request import Request
from tenantry.apiserver.scope import Scope
from tenantry.apiserver.user import User
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.objects import GroupResource
from tenantry.kube.status import method_not_allowed
from tenantry.storage.keys import Key


@dataclass(slots=True, eq=False)
class Call:
    """`verb` is the API verb (get, list, watch, create, update, patch, delete, deletecollection). `namespace` is empty for
    cluster-scoped types and for requests over all namespaces, `name` for collections.

    `warnings` are sent with the answer, also with a refusal.
    """

    request: Request
    scope: Scope
    user: User
    definition: ResourceDefinition
    version: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    verb: str = ""
    warnings: list[str] = field(default_factory=list)
    weight: int = 0
    """Of the body, as `work.weigh` has it."""

    @property
    def shape(self) -> Version:
        """The version of the type that the request speaks."""
        return self.definition.versions[self.version]

    @property
    def group_resource(self) -> GroupResource:
        return self.definition.group_resource

    @property
    def cluster(self) -> str:
        """The logical cluster. Raises StatusError 405 on a wildcard, which has none."""
        cluster = self.scope.cluster
        if cluster is None:
            raise method_not_allowed(self.group_resource, self.verb)
        return cluster

    @property
    def key(self) -> Key:
        """Where the named object lives."""
        return Key(self.cluster, self.definition.storage_key, self.namespace, self.name)

    @property
    def attributes(self) -> Attributes:
        """The question that authorization was asked about this request."""
        group, resource = self.definition.group_resource
        return Attributes(
            self.user,
            self.verb,
            self.scope.cluster or "*",
            group,
            self.version,
            resource,
            self.subresource,
            self.namespace,
            self.name,
        )

    def require_create(self) -> None:
        """Raises StatusError 403 where the caller of an update or apply that comes to a creation may not create."""
        question = self.attributes._replace(verb="create")
        decision = self.scope.authorizer.authorize(question)
        if not decision.allowed:
            raise forbidden_request(question, decision.reason)

    def acting_user(self) -> User:
        """As whom admission sees the write."""
        return self.scope.acting_user(self.user, self.attributes)
