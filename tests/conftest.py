"""For every test."""

from hypothesis import settings

# The same examples in every run, so that a failure is there for the next one to see. How long one takes is up to the machine.
settings.register_profile("tenantry", deadline=None, derandomize=True)
settings.load_profile("tenantry")
