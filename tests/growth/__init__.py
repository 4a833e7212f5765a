"""What a tenant sends grows by doubling, and the work that it makes grows no faster.

`meter` counts work, `shapes` makes objects that grow in one place of their type's schema, and the tests put both together: every
list, map, text and level of nesting of every type, patch, selector, query and role.
"""
