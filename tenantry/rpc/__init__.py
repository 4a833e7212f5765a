"""What all gRPC services of the platform have in common."""
