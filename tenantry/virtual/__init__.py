"""Virtual workspaces: apiservers under a URL of their own that show a computed view of many workspaces."""
