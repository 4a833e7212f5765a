"""Workspaces: their creation, initialization and deletion."""
