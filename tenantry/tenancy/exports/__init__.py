"""APIExports and APIBindings: a workspace serves the API of another one, and the provider finds its consumers (kcp)."""
