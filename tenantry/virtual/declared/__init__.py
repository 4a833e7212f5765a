"""Views that are declared by VirtualWorkspaces (views.tenantry.dev), and not programmed."""
