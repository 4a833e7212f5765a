"""Which webhooks are in effect in a logical cluster."""
