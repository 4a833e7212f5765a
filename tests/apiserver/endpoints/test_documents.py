"""Documents of a set of APIs are made once, however large they and the set are."""

from __future__ import annotations

import re
import threading
from dataclasses import replace

import pytest

from tenantry.apiserver.endpoints.documents import AT_ONCE_TYPES, document
from tenantry.kube.api_set import ApiSet
from tenantry.kube.types import config_map


@pytest.mark.parametrize("size", [2, 11 << 20])
@pytest.mark.parametrize("types", [1, AT_ONCE_TYPES + 1])
async def test_a_document_is_made_once(types: int, size: int) -> None:
    apis = ApiSet(replace(config_map.DEFINITION, plural=f"things{number}") for number in range(types))
    makers: list[int] = []
    awaited: list[str] = []

    def make() -> bytes:
        makers.append(threading.get_ident())
        return b"x" * size

    async def before() -> None:
        awaited.append("before")

    first = await document(apis, "a key", make, before)
    assert await document(apis, "a key", make, before) is first
    assert re.fullmatch("[0-9A-F]{128}", first.digest)
    assert len(first.body) == size and awaited == ["before"]
    (maker,) = makers
    assert (maker == threading.get_ident()) is (types <= AT_ONCE_TYPES)
