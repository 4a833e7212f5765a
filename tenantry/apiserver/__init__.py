"""How a request becomes a verb on a scope."""
