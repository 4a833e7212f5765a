"""What is served besides objects: discovery, OpenAPI, health, reviews, tokens."""
