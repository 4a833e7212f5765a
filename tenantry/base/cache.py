"""The cache for values that a process computes from tenants' input. There is no other one.

A cache is bounded in bytes, keys included, and keeps no key above `KEY_BYTES_MAX`: a value for a longer key is computed each
time. So a tenant can make a cache useless to itself, and cannot fill memory with it. All caches of a process are known by name
(`caches`), and their sizes are metrics.

Entries that were not used for long are evicted, by generations. A new entry is young. When the young entries take a third of the
cache, they become old together, and the old ones are evicted. An old entry that is used becomes young again. So a hit on a young
entry is one look-up in a dict, which takes no lock and writes nothing. Evicted entries are freed a few at a time, when others are
added. Caches may be used from any thread.
"""

from __future__ import annotations

import gc
import inspect
import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from functools import wraps
from threading import Lock
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar, cast
from weakref import WeakSet

P = ParamSpec("P")
R = TypeVar("R")
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

KEY_BYTES_MAX = 1024
"""Values of longer keys are not kept. The size includes Python's overhead. Keys that are used often are short: names, selectors,
media types. Long keys are usually an attack."""
ENTRY_BYTES = 200
"""The measured memory of an entry without its key and value: its slot in a dict, and its size."""
GENERATIONS = 3
"""Young entries, old ones, and evicted ones that are not freed yet. Each generation takes at most its part of the cache."""
LARGEST_PART = 8
"""An entry that takes more than 1/LARGEST_PART of a cache is not kept, unless the cache says otherwise. It would evict too many
others."""

_KEYWORDS = object()


class Size(NamedTuple):
    """The size of a cache."""

    entries: int
    bytes: int
    bytes_max: int


class Cache(Generic[K, V]):
    """Values by key; see the module. `name`: the label in metrics, a constant, the same for caches of the same purpose.

    `size`: returns the bytes of memory that a value takes because the cache keeps it. The default counts everything that the
    value refers to, which is right for Python values that share nothing large with others.

    `keeps_large`: an entry above `entry_bytes_max` is kept, and counts as one of that size. This is for values that take too long
    to compute each time and whose size something else bounds.
    """

    __slots__ = (
        "__weakref__",
        "_bytes",
        "_leaving",
        "_lock",
        "_old",
        "_size",
        "_young",
        "_young_bytes",
        "bytes_max",
        "entries_max",
        "entry_bytes_max",
        "keeps_large",
        "name",
    )

    def __init__(
        self,
        name: str,
        *,
        bytes_max: int,
        entries_max: int | None = None,
        entry_bytes_max: int | None = None,
        size: Callable[[V], int] | None = None,
        keeps_large: bool = False,
    ) -> None:
        self.name = name
        self.keeps_large = keeps_large
        self.bytes_max = bytes_max
        self.entry_bytes_max = min(entry_bytes_max or bytes_max // LARGEST_PART, bytes_max // GENERATIONS)
        self.entries_max = max(GENERATIONS, entries_max if entries_max is not None else bytes_max // ENTRY_BYTES)
        self._size = size
        self._young: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._old: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._leaving: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._young_bytes = 0
        self._bytes = 0
        self._lock = Lock()
        _caches.add(self)

    def __len__(self) -> int:
        """How many entries take memory. Evicted ones that are not freed yet are included."""
        return len(self._young) + len(self._old) + len(self._leaving)

    def __iter__(self) -> Iterator[K]:
        """The keys that can be found now."""
        with self._lock:
            return iter([*self._old, *self._young])

    def __contains__(self, key: K) -> bool:
        return key in self._young or key in self._old

    @property
    def bytes(self) -> int:
        """How many bytes its entries take."""
        return self._bytes

    def get(self, key: K) -> V | None:
        """The value of a key, None if there is none."""
        entry = self._young.get(key)
        if entry is None:
            entry = self._old.get(key)
            if entry is None:
                return None
            self._use(key)
        return entry[0]

    def put(self, key: K, value: V, size_bytes: int | None = None) -> bool:
        """Keeps a value until it is evicted. `size_bytes`: the size of the value, if the caller knows it. Returns False if the
        key is too long or the entry too large; then the previous value of the key is dropped."""
        size = _key_bytes(key)
        if size > KEY_BYTES_MAX:
            return False
        if size_bytes is None:
            size_bytes = self._size(value) if self._size is not None else size_of(value, self.entry_bytes_max)
        size += size_bytes + ENTRY_BYTES
        with self._lock:
            self._drop(key)
            if size > self.entry_bytes_max and not self.keeps_large:
                return False
            self._add(key, value, min(size, self.entry_bytes_max))
        return True

    def grow(self, key: K, more_bytes: int) -> None:
        """Called when the value of a key has grown by `more_bytes` (or shrunk). The entry is dropped if it is too large now."""
        with self._lock:
            entry = self._drop(key)
            if entry is not None and (self.keeps_large or entry[1] + more_bytes <= self.entry_bytes_max):
                self._add(key, entry[0], min(entry[1] + more_bytes, self.entry_bytes_max))

    def pop(self, key: K) -> V | None:
        """Removes the value of a key and returns it, None if there is none."""
        with self._lock:
            entry = self._drop(key)
        return entry[0] if entry is not None else None

    def clear(self) -> None:
        """Removes all entries."""
        with self._lock:
            self._young, self._old, self._leaving = OrderedDict(), OrderedDict(), OrderedDict()
            self._young_bytes = self._bytes = 0

    def compute(self, key: K, function: Callable[[], V]) -> V:
        """The value of a key. If there is none, `function` computes it. An error of `function` is not kept."""
        entry = self._young.get(key)
        if entry is None:
            entry = self._old.get(key)
            if entry is None:
                value = function()
                self.put(key, value)
                return value
            self._use(key)
        return entry[0]

    def _use(self, key: K) -> None:
        with self._lock:
            entry = self._old.pop(key, None)
            if entry is not None:
                self._bytes -= entry[1]
                self._add(key, *entry)

    def _drop(self, key: K) -> tuple[V, int] | None:
        entry = self._young.pop(key, None)
        if entry is not None:
            self._young_bytes -= entry[1]
        else:
            entry = self._old.pop(key, None)
        if entry is not None:
            self._bytes -= entry[1]
        return entry

    def _add(self, key: K, value: V, size: int) -> None:
        if self._young_bytes + size > self.bytes_max // GENERATIONS or len(self._young) >= self.entries_max // GENERATIONS:
            self._bytes -= sum(entry[1] for entry in self._leaving.values())
            self._leaving, self._old, self._young = self._old, self._young, OrderedDict()
            self._young_bytes = 0
        self._young[key] = (value, size)
        self._young_bytes += size
        self._bytes += size
        # Evicted entries are freed twice as fast as entries are added, so that all are freed before the next ones are evicted.
        freed, count = 0, 0
        while self._leaving and (freed < 2 * size or count < 2):
            freed, count = freed + self._leaving.popitem(last=False)[1][1], count + 1
        self._bytes -= freed


_caches: WeakSet[Cache[Any, Any]] = WeakSet()


def caches() -> list[Cache[Any, Any]]:
    """All caches of this process."""
    return list(_caches)


def sizes() -> Iterator[tuple[str, Size]]:
    """The sizes of the caches by name. Caches of one name are summed up."""
    found: dict[str, Size] = {}
    for cache in caches():
        before = found.get(cache.name, Size(0, 0, 0))
        found[cache.name] = Size(before.entries + len(cache), before.bytes + cache.bytes, before.bytes_max + cache.bytes_max)
    yield from sorted(found.items())


def cached(
    name: str, *, bytes_max: int, entries_max: int | None = None, size: Callable[[Any], int] | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Caches the results of a module-level function with hashable arguments, in a `Cache` with these limits.

    It replaces `functools.lru_cache` for arguments that a tenant chooses. An error is not cached. A hit costs about the same as
    with
    `lru_cache` for a function of one parameter, twice as much with more, and more again with keywords. The function's attribute
    `cache` is the cache.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        cache: Cache[Any, R] = Cache(name, bytes_max=bytes_max, entries_max=entries_max, size=size)
        parameters = inspect.signature(function).parameters.values()
        alone = len(parameters) == 1 and all(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
        remembering = _of_one(cache, cast(Any, function)) if alone else _of_many(cache, function)
        found: Any = wraps(function)(remembering)
        found.cache = cache
        return cast("Callable[P, R]", found)

    return decorate


def _of_one(cache: Cache[Any, R], function: Callable[[Any], R]) -> Callable[[Any], R]:
    def remembering(argument: Any) -> R:
        try:
            return cache._young[argument][0]
        except KeyError:
            pass
        return cache.compute(argument, lambda: function(argument))

    return remembering


def _of_many(cache: Cache[Any, R], function: Callable[P, R]) -> Callable[P, R]:
    def remembering(*args: P.args, **kwargs: P.kwargs) -> R:
        key = (*args, _KEYWORDS, *kwargs.items()) if kwargs else args
        try:
            return cache._young[key][0]
        except KeyError:
            pass
        return cache.compute(key, lambda: function(*args, **kwargs))

    return remembering


def _key_bytes(key: object) -> int:
    """`size_of` a key, with a fast path for strings, and tuples of strings and numbers."""
    if type(key) is str or type(key) is bytes:
        return sys.getsizeof(key)
    if isinstance(key, tuple) and all(type(part) in _FLAT for part in key):
        return sys.getsizeof(key) + sum(map(sys.getsizeof, key))
    return size_of(key, KEY_BYTES_MAX)


_FLAT = frozenset((str, int, bytes))
"""Types whose values refer to nothing."""
_SHARED = (type, ModuleType, BuiltinFunctionType, CodeType, type(None), bool)


def size_of(value: object, limit_bytes: int = sys.maxsize, *, shared: Iterable[object] = ()) -> int:
    """The bytes of memory of a value and of everything that it refers to, without shared parts of the program (types, modules,
    code).

    Counting stops above `limit_bytes`, which bounds the time that it takes. `shared`: objects that are not counted either,
    because they stay in memory anyway.
    """
    if type(value) in _FLAT:
        return sys.getsizeof(value)
    total = 0
    seen = {id(each) for each in shared}
    waiting = [value]
    while waiting and total <= limit_bytes:
        each = waiting.pop()
        if isinstance(each, _SHARED) or id(each) in seen:
            continue
        seen.add(id(each))
        total += sys.getsizeof(each)
        if isinstance(each, FunctionType):
            # The values that a function captures are in its cells. Its globals belong to the module.
            waiting.extend(cell.cell_contents for cell in each.__closure__ or () if _is_filled(cell))
            waiting.extend(each.__defaults__ or ())
        elif isinstance(each, MethodType):
            waiting.append(each.__self__)
        elif not isinstance(each, str | bytes | int | float):
            waiting.extend(gc.get_referents(each))
    return total


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
