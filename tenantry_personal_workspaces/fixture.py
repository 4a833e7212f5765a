"""What `tenantry views check` tries the view with: Ann has a workspace of her own, and Bob has none."""

from __future__ import annotations

from tenantry.virtual.interface import AUTHENTICATED_GROUP, Fixture, Given, Object, User

ANN = User("ann", (AUTHENTICATED_GROUP,))
_RBAC = "rbac.authorization.k8s.io"


def _access(role: str) -> Object:
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "ann"},
        "subjects": [{"kind": "User", "name": ANN.name, "apiGroup": _RBAC}],
        "roleRef": {"kind": "ClusterRole", "name": role, "apiGroup": _RBAC},
    }


def _workspace(name: str) -> Object:
    return {
        "apiVersion": "tenancy.kcp.io/v1alpha1",
        "kind": "Workspace",
        "metadata": {"name": name, "labels": {"team": name}},
    }


FIXTURE = Fixture(
    given=(
        Given("one", _access("cluster-admin")),
        Given("root", _access("cluster-admin")),
        Given("root", _workspace("anns"), ANN),
    ),
    later=(Given("root", _workspace("later"), ANN),),
    allowed=(ANN,),
    arguments=("root",),
)
