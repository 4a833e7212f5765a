"""The definitions of CustomResourceDefinitions, shared by all clusters that have equal ones.

A definition is found by a hash of all that it depends on (`crd_content`), so no cluster can make it differ from what another one
says. What a cluster can learn of others is whether one on the same shard says exactly the same, by how soon its type is ready.
"""

from __future__ import annotations

import hashlib
from weakref import WeakValueDictionary

from tenantry.kube.crd_naming import ESTABLISHED, is_condition_true
from tenantry.kube.custom import crd_content, definition_from_content
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object


class CustomDefinitions:
    """They are kept alive by who uses them: sets of APIs, views, and watches. May be used from any thread."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[bytes, ResourceDefinition] = WeakValueDictionary()

    def of(self, crd: Object) -> ResourceDefinition | None:
        """The type that a CustomResourceDefinition defines, whether or not it is being deleted. None where it is not served."""
        if not is_condition_true(crd, ESTABLISHED):
            return None
        content = crd_content(crd)
        digest = hashlib.blake2b(content, digest_size=32).digest()
        found = self._known.get(digest)
        return found if found is not None else self._known.setdefault(digest, definition_from_content(content))
