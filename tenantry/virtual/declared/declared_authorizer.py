"""The authorizer of a declared view.

Consumers decide as in the view of the export, and so does the owner of a claimed type (checks A and C of `ExportAuthorizer`). In
between, the expression of the view decides who may use it, or the verb on `virtualworkspaces/content` in the provider's
workspace.
"""

from __future__ import annotations

from tenantry.apiserver.authorization import Attributes, Decision
from tenantry.kube.objects import GroupResource
from tenantry.kube.schema.cel_expression import Expression
from tenantry.storage.range import Range
from tenantry.tenancy.authorization.cluster_authorizer import ClusterAuthorizer
from tenantry.tenancy.exports.export_lookup import ExportLookup
from tenantry.tenancy.exports.read_bindings import binding_to, bindings_of
from tenantry.tenancy.types.virtual_workspace import GROUP
from tenantry.virtual.apiexport.export_authorizer import DENIED, Content, ExportAuthorizer
from tenantry.virtual.declared.declaration import Declaration
from tenantry.virtual.declared.evaluation import Spending, is_true, user_value


class DeclaredAuthorizer(ExportAuthorizer):
    """Made for each request. `place`: cluster id and name of the VirtualWorkspace. `cluster`: None for the wildcard.
    `declaration`: None if there is none."""

    def __init__(
        self,
        place: tuple[str, str],
        declaration: Declaration | None,
        range_: Range,
        cluster: str | None,
        *,
        exports: ExportLookup,
        authorizer: ClusterAuthorizer,
        spending: Spending,
    ) -> None:
        domain = declaration.domain if declaration is not None else None
        export = (place[0], domain.name if domain is not None else "")
        content = Content(place[0], GROUP, "virtualworkspaces", place[1])
        super().__init__(export, content, domain, range_, cluster, exports=exports, authorizer=authorizer)
        self._home = place[0]
        self._declaration = declaration
        self._spending = spending

    def consumer_decision(self, attributes: Attributes) -> Decision | None:
        declaration = self._declaration
        if (
            declaration is not None
            and self.cluster is not None
            and GroupResource(attributes.group, attributes.resource) in declaration.counts
        ):
            # What is counted is decided object by object. A count tells nothing of a workspace that is no consumer.
            bindings = bindings_of(self.range, self.cluster)
            return None if binding_to(bindings, self._home, declaration.domain.name) is not None else DENIED
        return super().consumer_decision(attributes)

    def may_use(self, attributes: Attributes) -> bool:
        access = self._declaration.access if self._declaration is not None else None
        return super().may_use(attributes) if access is None else self._is_let_in(access, attributes)

    def _is_let_in(self, access: Expression, attributes: Attributes) -> bool:
        request = {
            "verb": attributes.verb,
            "group": attributes.group,
            "resource": attributes.resource,
            "subresource": attributes.subresource,
            "namespace": attributes.namespace,
            "name": attributes.name,
            "cluster": self.cluster or "*",
            "path": attributes.path,
        }
        values = (user_value(attributes.user, self._home), request)
        return is_true(access, values, self._spending, "access")
