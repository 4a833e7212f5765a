"""The view of the schemas that the APIBindings of a workspace use (kcp)."""
