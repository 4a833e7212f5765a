"""Kubernetes' workload types: Pods, Deployments, Services and what belongs to them, as types that logical clusters may bind."""
