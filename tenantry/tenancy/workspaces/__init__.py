"""Workspaces: how tenants come, become ready, and go."""
