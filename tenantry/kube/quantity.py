"""Resource quantities: `100m`, `1.5Gi`, `2e3` (k8s.io/apimachinery/pkg/api/resource)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import ROUND_UP, Context, Decimal, localcontext
from typing import NamedTuple

from tenantry.base.cache import cached

_FORM = re.compile(r"([+-]?)([0-9]*)(\.[0-9]*)?([eEinumkKMGTP]*[+-]?[0-9]*)", re.ASCII)
_EXPONENT = re.compile(r"[eE]([+-]?[0-9]+)", re.ASCII)
_BINARY = ("Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_SUFFIXES = {power: suffix for suffix, power in _DECIMAL.items()}
_NANO = Decimal("1e-9")
_MILLI = Decimal("1e-3")
_BINARY_MAX = Decimal((1 << 63) - 1)
"""What a larger amount with a binary suffix becomes."""
_MAX_DIGITS = 64
_EXACT = Context(prec=4 * _MAX_DIGITS)
"""A context with as many digits as a quantity can have. Python's default is 28."""
_FAST_DIGITS, _FAST_BINARY_DIGITS, _FAST_BINARY_POWER = 18, 15, 4
"""Up to how many digits upstream parses a quantity as an int64. It then keeps the text, where that is short enough."""

SYNTAX_ERROR = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
NUMERIC_ERROR = "unable to parse numeric part of quantity"
SUFFIX_ERROR = "unable to parse quantity's suffix"

_SI, _E, _BI = "DecimalSI", "DecimalExponent", "BinarySI"


class _Read(NamedTuple):
    """A parsed quantity: what it amounts to, and how it is written. `scale`: the power of ten of its last digit, or the power of
    1024 in binary style."""

    amount: Decimal
    style: str
    scale: int
    digits: str
    has_decimals: bool

    @property
    def power_of_ten(self) -> int | None:
        """Upstream has it as an int64 times this power of ten; None where it has it in arbitrary precision."""
        if self.style is _BI:
            return 0 if not self.has_decimals and self._is_small_binary else None
        return self.scale if len(self.digits) <= _FAST_DIGITS and self.scale >= -9 else None

    @property
    def is_kept(self) -> bool:
        """Whether upstream prints it as it was written."""
        if self.style is _BI:
            return self._is_small_binary and not self.has_decimals and bool(int(self.digits) & 7)
        if self.power_of_ten is None or self.scale % 3:
            return False
        return not self.digits.endswith("000") and self.digits[0] != "0"

    @property
    def _is_small_binary(self) -> bool:
        return _FAST_BINARY_DIGITS - len(self.digits) - 3 * self.scale - 1 >= 0


@cached("quantities", bytes_max=512 << 10)
def parse(text: str) -> Decimal:
    """The amount. Values finer than a nano are rounded up, and those with a binary suffix end at 2⁶³ - 1, as upstream. Raises
    ValueError with upstream's text."""
    return _read(text).amount


def power_of_ten(text: str) -> int | None:
    """The power of ten of which upstream has the amount as a multiple, in an int64: -1 for `5.0`, -3 for `1000m`. None where it
    has it in arbitrary precision. Raises ValueError."""
    return _read(text).power_of_ten


def _read(text: str) -> _Read:
    # The length is checked first: matching a long row of digits may take quadratic time.
    found = _FORM.fullmatch(text) if 0 < len(text) <= _MAX_DIGITS else None
    if found is None:
        raise ValueError(SYNTAX_ERROR)
    sign, whole, fraction, suffix = found.groups()
    # Zeros in front are no digits, and a quantity without digits is zero.
    digits, decimals = whole.lstrip("0") or "0", (fraction or "")[1:]
    style, power = _scale(suffix)
    if not whole and not decimals and (power < -9 or (style is _BI and power > _FAST_BINARY_POWER)):
        # Zero without a digit is known to the int64 parser alone.
        raise ValueError(NUMERIC_ERROR)
    with localcontext(_EXACT):
        amount = Decimal(f"{digits}.{decimals}" if decimals else digits)
        amount = amount * Decimal(1024) ** power if style is _BI else amount.scaleb(power)
        if amount != 0 and amount % _NANO:
            amount = amount.quantize(_NANO, rounding=ROUND_UP)
    if style is _BI and amount > _BINARY_MAX:
        amount = _BINARY_MAX
    if amount.adjusted() > _MAX_DIGITS:
        # However it is written: its shortest form is a quantity too.
        raise ValueError(SYNTAX_ERROR)
    # Unary minus would round to the digits of the default context.
    amount = amount.copy_negate() if sign == "-" and amount else amount
    return _Read(amount, style, power if style is _BI else power - len(decimals), digits + decimals, bool(decimals))


def _scale(suffix: str) -> tuple[str, int]:
    """The style, and the power of ten (or of 1024, in binary style) that a suffix stands for. Raises ValueError."""
    if suffix in _DECIMAL:
        return _SI, _DECIMAL[suffix]
    if suffix in _BINARY:
        return _BI, _BINARY.index(suffix) + 1
    exponent = _EXPONENT.fullmatch(suffix)
    if exponent is None:
        raise ValueError(SUFFIX_ERROR)
    power = int(exponent.group(1))
    if abs(power) > _MAX_DIGITS:
        raise ValueError(SYNTAX_ERROR)
    return _E, power


def exactly(run: Callable[[Decimal, Decimal], Decimal], left: Decimal, right: Decimal | int) -> Decimal:
    """The result of an operation on amounts, computed with as many digits as it needs."""
    with localcontext(_EXACT):
        return run(left, Decimal(right))


def canonical(text: str) -> str:
    """The form in which upstream prints a quantity: as it was written where that is short, else in the same style (binary,
    decimal, exponent) with the largest suffix that needs no fraction. Raises ValueError."""
    read = _read(text)
    if read.is_kept:
        return text
    with localcontext(_EXACT):
        written = _written(read.amount, read.style)
    if len(written) > _MAX_DIGITS:
        raise ValueError(SYNTAX_ERROR)
    return written


def milli_at_least(text: str) -> str:
    """A canonical quantity, rounded up to a thousandth. The same text where it needs no rounding."""
    read = _read(text)
    if not _finer(read.amount):
        return text
    with localcontext(_EXACT):
        return _written(read.amount.quantize(_MILLI, rounding=ROUND_UP), read.style)


def _finer(amount: Decimal) -> bool:
    with localcontext(_EXACT):
        return bool(amount % _MILLI)


def _written(amount: Decimal, style: str) -> str:
    if amount == 0:
        return "0"
    if style is _BI and abs(amount) >= 1024 and amount == amount.to_integral_value():
        return _binary(int(amount))
    sign, digits, exponent = amount.normalize().as_tuple()
    power = int(exponent)
    number = ("-" if sign else "") + "".join(map(str, digits)) + "0" * (power % 3)
    power -= power % 3
    if style is _E:
        return f"{number}e{power}" if power else number
    # There is no suffix for more than 10¹⁸, and upstream forgets the power.
    return number + _SUFFIXES.get(power, "")


def negated(text: str) -> str:
    """A canonical quantity with the other sign."""
    return text if text == "0" else text[1:] if text.startswith("-") else f"-{text}"


def total(texts: Iterable[str]) -> str:
    """The sum of quantities, in the style of the first one that is not zero. "0" for none."""
    read = [_read(text) for text in texts]
    with localcontext(_EXACT):
        amount = sum((each.amount for each in read), Decimal(0))
        return _written(amount, next((each.style for each in read if each.amount), _SI))


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


def _binary(whole: int) -> str:
    step = 0
    while step < len(_BINARY) and whole % 1024 == 0:
        whole //= 1024
        step += 1
    return f"{whole}{_BINARY[step - 1] if step else ''}"
