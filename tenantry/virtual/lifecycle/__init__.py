"""The views for controllers of workspace types: initializers and terminators (kcp)."""
