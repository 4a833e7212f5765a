"""How long a test waits for what has to come."""

PATIENCE_SECONDS = 90.0
"""A condition that a test waits for is no bound on how fast the product is: on a machine that others use as well it may take many
times what it takes alone. What asserts a speed says so, with a bound of its own."""
