"""What every process is made of: supervised tasks, bounded caches and shares, flags, logs, metrics. No I/O, no Kubernetes."""
