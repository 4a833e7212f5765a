"""Who may do what: kcp's chain of authorizers over compiled RBAC."""

from tenantry.tenancy.authorization.chain import Chain

__all__ = ["Chain"]
