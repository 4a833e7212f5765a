"""The name formats of Kubernetes (k8s.io/apimachinery validation), with its error texts."""
