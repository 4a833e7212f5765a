"""The shard process: it serves the workspaces of its ranges."""
