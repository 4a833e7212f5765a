"""Kubernetes' validation of workload types (pkg/apis/…/validation): what clients rely on, with its texts.

`docs/workloads.md` says what is left to the server that runs the Pods.
"""
