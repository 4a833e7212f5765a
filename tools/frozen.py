"""Imported last by a process from which others are forked: its objects are theirs without a copy, for as long as nothing counts
them in a search for garbage (https://docs.python.org/3/library/gc.html#gc.freeze)."""

import gc

gc.collect()
gc.freeze()
