"""CEL's functions of strings, with the extension for strings."""

from __future__ import annotations

import math
from typing import Any

from tenantry.kube.schema import cel_text
from tenantry.kube.schema.cel_errors import CelError, NoOverload
from tenantry.kube.schema.cel_format import formatted
from tenantry.kube.schema.cel_functions.arguments import (
    PER_POINTER,
    Function,
    FunctionTable,
    int_of,
    list_of,
    search_cost,
    text_of,
)
from tenantry.kube.schema.cel_values import PER_CHARACTER, Cost
from tenantry.kube.schema.regex import RegexError, search

FUNCTIONS = FunctionTable()
_NEW_LIST_COST = 11


@FUNCTIONS.member("contains")
def _contains(cost: Cost, text: Any, part: Any) -> bool:
    cost.charge(math.ceil(len(text_of(text)) * 0.1) * math.ceil(len(text_of(part)) * 0.1))
    return part in text


@FUNCTIONS.member("startsWith")
def _starts_with(cost: Cost, text: Any, part: Any) -> bool:
    cost.text(len(text_of(part)))
    return text_of(text).startswith(part)


@FUNCTIONS.member("endsWith")
def _ends_with(cost: Cost, text: Any, part: Any) -> bool:
    cost.text(len(text_of(part)))
    return text_of(text).endswith(part)


@FUNCTIONS.function("matches")
@FUNCTIONS.member("matches")
def _matches(cost: Cost, text: Any, pattern: Any) -> bool:
    search_cost(cost, text_of(text), text_of(pattern))
    try:
        return search(pattern, text, cost.work)
    except RegexError as error:
        raise CelError(str(error)) from None


@FUNCTIONS.member("charAt")
def _char_at(cost: Cost, text: Any, place: Any) -> str:
    cost.charge(1)
    if not 0 <= int_of(place) <= len(text_of(text)):
        raise CelError(f"index out of range: {place}")
    return str(text[place : place + 1])


@FUNCTIONS.member("substring")
def _substring(cost: Cost, text: Any, start: Any, end: Any = None) -> str:
    length = len(text_of(text))
    cost.text(length)
    stop = length if end is None else int_of(end)
    if end is not None and int_of(start) > stop:
        raise CelError(f"invalid substring range. start: {start}, end: {stop}")
    if not 0 <= int_of(start) <= length:
        raise CelError(f"index out of range: {start}")
    if not 0 <= stop <= length:
        raise CelError(f"index out of range: {stop}")
    return str(text[start:stop])


def _ascii_mapped(lower: bool) -> Function:
    table = {code: code + 32 for code in range(65, 91)} if lower else {code: code - 32 for code in range(97, 123)}

    def mapped(cost: Cost, text: Any) -> str:
        cost.text(len(text_of(text)))
        if text.isascii():
            return str(text.lower() if lower else text.upper())
        return str(text.translate(table))

    return mapped


FUNCTIONS["lowerAscii", True] = _ascii_mapped(True)
FUNCTIONS["upperAscii", True] = _ascii_mapped(False)


@FUNCTIONS.member("trim")
def _trim(cost: Cost, text: Any) -> str:
    cost.text(len(text_of(text)))
    return str(text.strip())


@FUNCTIONS.member("reverse")
def _reverse(cost: Cost, value: Any) -> Any:
    cost.charge(_NEW_LIST_COST + len(list_of(value)))
    return [*reversed(value)]


@FUNCTIONS.member("replace")
def _replace(cost: Cost, text: Any, old: Any, new: Any, limit: Any = -1) -> str:
    text_of(text), text_of(old), text_of(new), int_of(limit)
    cost.text(len(text), 2)
    cost.work(len(old) * len(text) / 1000 if len(old) < 100 else 1)
    found = text.count(old)
    count = found if limit < 0 else min(found, limit)
    # The result may be much longer than the input, and the next replacement works on it.
    cost.work(max(0, count * (len(new) - len(old))) * 2 * PER_CHARACTER)
    return str(text.replace(old, new, count))


@FUNCTIONS.member("split")
def _split(cost: Cost, text: Any, separator: Any, limit: Any = -1) -> list[str]:
    text_of(text), text_of(separator), int_of(limit)
    cost.text(len(text), 2)
    if limit == 0:
        return []
    if not separator:
        count = len(text) if limit < 0 else min(limit, len(text))
        cost.work(count)
        if count == 0:
            return []
        return [*text[: count - 1], text[count - 1 :] if limit > 0 else text[count - 1]]
    cost.work(text.count(separator))
    return list(text.split(separator, -1 if limit < 0 else limit - 1))


@FUNCTIONS.member("join")
def _join(cost: Cost, items: Any, separator: Any = "") -> str:
    cost.work(PER_POINTER * len(list_of(items)))
    if any(type(item) is not str for item in items):
        raise NoOverload
    length = sum(map(len, items)) + len(text_of(separator)) * max(0, len(items) - 1)
    cost.text(length, 2)
    return str(separator.join(items))


@FUNCTIONS.member("format")
def _format(cost: Cost, template: Any, arguments: Any) -> str:
    cost.text(len(text_of(template)))
    return formatted(cost, template, list_of(arguments))


@FUNCTIONS.function("jsonpatch.escapeKey")
def _escape_key(cost: Cost, text: Any) -> str:
    cost.text(len(text_of(text)))
    return str(text).replace("~", "~0").replace("/", "~1")


@FUNCTIONS.function("strings.quote")
def _quote(cost: Cost, text: Any) -> str:
    cost.text(len(text_of(text)))
    return cel_text.quote(text)
