"""Objects that are computed from others, and are stored nowhere.

A collection has the objects of one place, in a view or in a workspace, as a range in memory. So every verb works on it as on a
range of the store. It is computed again when what it was computed from has changed.
"""
