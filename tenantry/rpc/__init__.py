"""The gRPC server that all services of the platform use: TLS, limits and errors."""
