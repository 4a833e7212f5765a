"""Resource quantities: `100m`, `1.5Gi`, `2e3` (k8s.io/apimachinery/pkg/api/resource)."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import ROUND_UP, Context, Decimal, localcontext

from tenantry.base.cache import cached

_FORM = re.compile(r"([+-]?)((?:\d+\.?\d*)|(?:\.\d+))(?:([KMGTPE]i|[numkMGTPE])|([eE][+-]?\d+))?", re.ASCII)
_BINARY = ("Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_NANO = Decimal("1e-9")
_MAX_DIGITS = 64
_EXACT = Context(prec=4 * _MAX_DIGITS)
"""A context with as many digits as a quantity can have. Python's default is 28."""

SYNTAX_ERROR = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


@cached("quantities", bytes_max=512 << 10)
def parse(text: str) -> Decimal:
    """The amount. Values finer than a nano are rounded up, as upstream does. Raises ValueError with upstream's text."""
    # The length is checked first: matching a long row of digits may take quadratic time.
    match = _FORM.fullmatch(text) if len(text) <= _MAX_DIGITS else None
    if match is None:
        raise ValueError(SYNTAX_ERROR)
    sign, digits, suffix, exponent = match.groups()
    with localcontext(_EXACT):
        amount = Decimal(digits)
        if suffix in _BINARY:
            amount *= Decimal(1024) ** (_BINARY.index(suffix) + 1)
        elif suffix:
            amount = amount.scaleb(_DECIMAL[suffix])
        elif exponent:
            power = int(exponent[1:])
            if abs(power) > _MAX_DIGITS:
                raise ValueError(SYNTAX_ERROR)
            amount = amount.scaleb(power)
        if amount != 0 and amount % _NANO:
            amount = amount.quantize(_NANO, rounding=ROUND_UP)
    if amount.adjusted() > _MAX_DIGITS:
        # However it is written: its shortest form is a quantity too.
        raise ValueError(SYNTAX_ERROR)
    # Unary minus would round to the digits of the default context.
    return amount.copy_negate() if sign == "-" and amount else amount


def exactly(run: Callable[[Decimal, Decimal], Decimal], left: Decimal, right: Decimal | int) -> Decimal:
    """The result of an operation on amounts, computed with as many digits as it needs."""
    with localcontext(_EXACT):
        return run(left, Decimal(right))


def is_quantity(text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def canonical(text: str) -> str:
    """The shortest form of the same amount in the same style (binary, decimal, exponent). Raises ValueError."""
    amount = parse(text)
    match = _FORM.fullmatch(text)
    suffix, exponent = (match.group(3), match.group(4)) if match else (None, None)
    with localcontext(_EXACT):
        written = _binary(amount) if suffix in _BINARY else None
        if written is None:
            written = _exponent(amount) if exponent else from_amount(amount)
    if len(written) > _MAX_DIGITS:
        raise ValueError(SYNTAX_ERROR)
    return written


def from_amount(amount: Decimal) -> str:
    """An amount in decimal style, with the largest suffix that needs no fraction."""
    if amount == 0:
        return "0"
    with localcontext(_EXACT):
        for suffix, power in sorted(_DECIMAL.items(), key=lambda item: -item[1]):
            scaled = amount.scaleb(-power)
            if scaled == scaled.to_integral_value():
                return f"{int(scaled)}{suffix}"
        return f"{int(amount.quantize(_NANO, rounding=ROUND_UP).scaleb(9))}n"


def _binary(amount: Decimal) -> str | None:
    if amount != amount.to_integral_value():
        return None
    whole = int(amount)
    step = 0
    while step < len(_BINARY) and whole and whole % 1024 == 0:
        whole //= 1024
        step += 1
    return f"{whole}{_BINARY[step - 1] if step else ''}"


def _exponent(amount: Decimal) -> str:
    if amount == 0:
        return "0"
    power = 0
    while amount != amount.to_integral_value():
        amount, power = amount.scaleb(3), power - 3
    while amount % 1000 == 0:
        amount, power = amount.scaleb(-3), power + 3
    return f"{int(amount)}e{power}" if power else f"{int(amount)}"
