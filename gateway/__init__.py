"""The gateway: answers gRPC look-ups and forwards HTTP requests to the shards."""
