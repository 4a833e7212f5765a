"""What every process is made of: supervised tasks, bounded caches and shares, flags, logs, metrics. No network, no Kubernetes."""
