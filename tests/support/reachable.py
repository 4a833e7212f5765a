"""What a running system holds: the sum of the lengths of all containers that can be reached from it, by who has them.

A container is named by the class and the attribute that hold it (`ClusterApis._incomplete`), one inside of it by `[]` behind
that, one in the cells of a function by the function's name; of each class the instances are counted too. What grows with use,
and not with what there is, is a leak, and its name is where to look.
"""

from __future__ import annotations

import gc
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any
from weakref import ReferenceType, WeakKeyDictionary, WeakSet, WeakValueDictionary

from tests.support.sources import OURS

_TABLES = (dict, WeakKeyDictionary, WeakValueDictionary)
_ROWS = (list, set, frozenset, tuple, deque, WeakSet)


def modules() -> list[ModuleType]:
    """All modules of the product that are loaded."""
    return [module for name, module in list(sys.modules.items()) if name.partition(".")[0] in OURS and "_proto" not in name]


def lengths(*roots: object, beside: tuple[type, ...] = ()) -> Counter[str]:
    """Lengths and instances by name, of all that `roots` and the product's modules refer to. What is of a type in `beside` is
    counted as an instance and not looked into."""
    found: Counter[str] = Counter()
    seen: set[int] = set()
    waiting: deque[tuple[str, object]] = deque((type(root).__name__, root) for root in roots)
    for module in modules():
        waiting.extend(
            (f"{module.__name__}.{name}", value) for name, value in vars(module).items() if not isinstance(value, ModuleType)
        )
    while waiting:
        name, value = waiting.popleft()
        if id(value) in seen or value is None or isinstance(value, str | bytes | int | float | type | ModuleType):
            continue
        seen.add(id(value))
        for part, inner in _parts(name, value, found, beside):
            waiting.append((part, inner))
    return found


def growth(before: Counter[str], after: Counter[str], least: int) -> dict[str, tuple[int, int]]:
    """What grew by at least so much: the numbers before and after."""
    return {name: (before[name], count) for name, count in sorted(after.items()) if count - before[name] >= least}


def alive(*kinds: type) -> Counter[str]:
    """How many instances of each class there are in the process, reachable or not, after a collection."""
    gc.collect()
    return Counter(type(each).__name__ for each in gc.get_objects() if isinstance(each, kinds))


def _parts(name: str, value: Any, found: Counter[str], beside: tuple[type, ...]) -> Iterator[tuple[str, object]]:
    if isinstance(value, beside):
        found[f"<{type(value).__name__}>"] += 1
    elif isinstance(value, _TABLES):
        found[name] += len(value)
        for key, inner in list(value.items()):
            yield f"{name}[]", key
            yield f"{name}[]", inner
    elif isinstance(value, _ROWS):
        if isinstance(value, deque) and value.maxlen is not None:
            return
        found[name] += len(value)
        for inner in list(value):
            yield f"{name}[]", inner
    elif isinstance(value, FunctionType):
        if value.__module__ and value.__module__.partition(".")[0] in OURS:
            for variable, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
                yield from _cell(f"{value.__qualname__}.{variable}", cell)
    elif isinstance(value, MethodType):
        yield name, value.__self__
    elif isinstance(value, partial):
        yield from ((f"{name}()", inner) for inner in (value.func, value.args, value.keywords))
    elif isinstance(value, ReferenceType):
        return
    elif type(value).__module__.partition(".")[0] in OURS:
        kind = type(value).__name__
        found[f"<{kind}>"] += 1
        for attribute, inner in _attributes(value):
            yield f"{kind}.{attribute}", inner


def _cell(name: str, cell: Any) -> Iterable[tuple[str, object]]:
    try:
        yield name, cell.cell_contents
    except ValueError:
        return


def _attributes(value: Any) -> Iterator[tuple[str, object]]:
    yield from getattr(value, "__dict__", {}).items()
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if slot not in ("__dict__", "__weakref__"):
                mangled = f"_{kind.__name__.lstrip('_')}{slot}" if slot.startswith("__") else slot
                if hasattr(value, mangled):
                    yield slot, getattr(value, mangled)
