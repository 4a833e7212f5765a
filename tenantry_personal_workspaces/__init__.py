"""Personal workspaces: the workspaces under a parent that the caller may access.

`/services/workspaces/<path or id of the parent>/apis/tenancy.kcp.io/v1alpha1/workspaces`

A view as service teams write them: it imports only the public library, and an entry point registers it.
"""

from tenantry_personal_workspaces.view import PersonalWorkspaces

__all__ = ["PersonalWorkspaces"]
