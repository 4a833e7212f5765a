"""The process of views: it serves virtual workspaces from the store, and owns nothing."""
