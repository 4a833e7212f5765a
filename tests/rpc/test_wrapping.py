"""An interceptor wraps the handler of a method once, and keeps nothing for names that clients invent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tenantry.rpc.wrapping import WrappingInterceptor


class Counting(WrappingInterceptor):
    def __init__(self) -> None:
        super().__init__()
        self.methods: list[str] = []

    def wrapped(self, handler: Any, method: str) -> Any:
        self.methods.append(method)
        return (handler, method)


async def test_each_method_is_wrapped_once() -> None:
    interceptor, asked = Counting(), []

    async def handler_of(details: Any) -> Any:
        asked.append(details.method)
        return None if details.method == "/none" else f"handler of {details.method}"

    for method in ("/a", "/b", "/a", "/a", "/none", "/none"):
        found = await interceptor.intercept_service(handler_of, SimpleNamespace(method=method))
        assert found == (None if method == "/none" else (f"handler of {method}", method))
    assert interceptor.methods == ["/a", "/b"]
    assert asked == ["/a", "/b", "/none", "/none"]
    assert interceptor._wrapped.keys() == {"/a", "/b"}
