"""What is served in addition to objects: discovery, OpenAPI, health, reviews, tokens."""
