"""The view of an APIExport: the provider's access to the workspaces of its consumers (kcp)."""
