"""The controller runtime: queues, back-off, workers."""
