"""The HTTP server: sockets, TLS, limits. Nobody else names it."""
