"""What all processes use: supervised tasks, bounded caches and shares, flags, logs, metrics. No network, no Kubernetes."""
