"""The view of an export: what a provider sees, and does, in the workspaces of its consumers."""
