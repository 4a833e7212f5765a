"""Where a tenant is: gRPC look-ups and the HTTP front door."""
