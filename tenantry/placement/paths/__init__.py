"""Look-ups by path: which logical cluster a path means, and in which range that is.

This is the part of placement that knows the catalog's copies of workspaces, and the URLs of logical clusters and of views.
"""
