"""What all processes use: supervised tasks, bounded caches and shares, flags, logs, metrics. This package knows no Kubernetes."""
