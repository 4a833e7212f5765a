"""The schema of what a client sends to a view with hidden fields.

It still has them, so that a body with one can be refused with its place. It does not give them defaults: a default could not be
told from what the client wrote. When the object is stored, the type's own schema adds all defaults.

A list whose keys are hidden has no keys there, so that it is applied and owned as a whole.
"""

from __future__ import annotations

from dataclasses import replace

from tenantry.kube.schema.structural import Schema
from tenantry.virtual.declared.hidden.paths import HERE, Paths, below, has_any, tree


def without_hidden_defaults(schema: Schema, paths: Paths) -> Schema:
    """The same schema, in which hidden fields are not required and have no defaults. Parts without hidden fields are shared."""
    hidden = tree(paths)
    if hidden.is_empty:
        return schema
    names = below(schema.properties, hidden)
    properties = dict(schema.properties)
    for name, rests in names.items():
        properties[name] = _bare(properties[name]) if HERE in rests else without_hidden_defaults(properties[name], rests)
    additional = schema.additional
    if isinstance(additional, Schema) and hidden.goes_deeper:
        # All defaults of all entries, though few have hidden fields: what is left out here is added when the object is stored.
        additional = _bare(additional)
    is_keyed = schema.list_type == "map" and not below(dict.fromkeys(schema.list_map_keys), hidden)
    keeps_default = schema.has_default and not has_any(schema.default, hidden)
    return replace(
        schema,
        properties=properties,
        additional=additional,
        items=without_hidden_defaults(schema.items, hidden) if schema.items is not None else None,
        required=tuple(name for name in schema.required if HERE not in names.get(name, ())),
        list_type=schema.list_type if is_keyed or schema.list_type != "map" else "atomic",
        list_map_keys=schema.list_map_keys if is_keyed else (),
        default=schema.default if keeps_default else None,
        has_default=keeps_default,
        compiled=None,
    )


def _bare(schema: Schema) -> Schema:
    """A schema of the same shape without defaults."""
    additional = schema.additional
    return replace(
        schema,
        properties={name: _bare(inner) for name, inner in schema.properties.items()},
        additional=_bare(additional) if isinstance(additional, Schema) else additional,
        items=_bare(schema.items) if schema.items is not None else None,
        default=None,
        has_default=False,
        compiled=None,
    )
