"""The conformance suite of views: it runs a view in a server in memory, and looks at it as clients do.

`server` is that server, for tests of packages too. `tried_place` prepares the objects of a view's fixture. `reading`,
`watching`, `access`, `writing`, `view_types` and `budget` have the checks, and `run` runs them.
"""
