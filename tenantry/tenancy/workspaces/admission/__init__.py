"""Admission of workspaces, their types and logical clusters."""
