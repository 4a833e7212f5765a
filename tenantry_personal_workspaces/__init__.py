"""Personal workspaces: which of the workspaces under a parent *I* may enter.

`/services/workspaces/<path or id of the parent>/apis/tenancy.kcp.io/v1alpha1/workspaces`

A view like those of any service team: it imports nothing but what tenantry offers to all, and is registered by an entry point.
"""

from tenantry_personal_workspaces.view import PersonalWorkspaces

__all__ = ["PersonalWorkspaces"]
