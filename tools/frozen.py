"""Freezes the garbage collector. Imported last by a process that is forked: the children share its objects without a copy as long
as the garbage collector does not touch them (https://docs.python.org/3/library/gc.html#gc.freeze)."""

import gc

gc.collect()
gc.freeze()
