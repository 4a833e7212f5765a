"""Evaluates the expressions of declared views. They come from tenants, and so do the objects that they read."""

from __future__ import annotations

from typing import Any

from prometheus_client import Counter

from tenantry.apiserver.user import AUTHENTICATED_GROUP, User, global_service_account
from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.cel_expression import RUN_LIMIT, Expression
from tenantry.kube.schema.cel_values import Cost, CostExceeded
from tenantry.kube.status import StatusError
from tenantry.tenancy.authorization.effective_users import effective_users

REQUEST_LIMIT = 10_000_000
"""The most that the expressions of one request may cost, in cel-go's units. Some seconds of processor time, in slices. A
watch has no such limit: it lasts as long as its client wants, and its expressions run in slices, too."""

FAULTS = Counter(
    "tenantry_declared_view_faults",
    "Evaluations of expressions of declared views that failed or cost too much.",
    ["expression"],
)


class Spending:
    """How much the expressions of one request may still cost. `limit` None: no limit."""

    __slots__ = ("left",)

    def __init__(self, limit: int | None = REQUEST_LIMIT) -> None:
        self.left = limit

    def take(self, cost: Cost) -> None:
        """Takes what an evaluation has cost. Raises StatusError 413 where that is more than is left."""
        if self.left is None:
            return
        self.left -= cost.spent
        if self.left < 0:
            raise StatusError(
                413,
                "RequestEntityTooLarge",
                "the expressions of this view cost too much for one request: ask for fewer objects, by pages or by labels",
                details={},
            )


def is_true(expression: Expression, values: tuple[Any, ...], spending: Spending, what: str) -> bool:
    """Whether an expression is true. It is not where it fails. `what`: for the metric. Raises StatusError 413."""
    cost = Cost(RUN_LIMIT)
    try:
        return expression.run(values, cost) is True
    except (CelError, CostExceeded):
        FAULTS.labels(what).inc()
        return False
    finally:
        spending.take(cost)


def user_value(user: User, cluster: str) -> dict[str, Any]:
    """The variable `user` in an expression of the logical cluster `cluster`: who the caller is there.

    A service account of another cluster has its global name, and a user who was impersonated in another cluster is anonymous:
    what their own cluster calls them must not match what is meant for others.
    """
    known = effective_users(user, cluster)[0]
    if known != user:
        name = global_service_account(user)
        known = User(name, (AUTHENTICATED_GROUP,)) if name else known
    return {"name": known.name, "groups": list(known.groups), "uid": known.uid}
