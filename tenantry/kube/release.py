"""The release of Kubernetes whose API is served."""

MAJOR, MINOR, PATCH = 1, 37, 2
