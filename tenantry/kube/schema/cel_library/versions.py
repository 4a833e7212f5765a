"""Kubernetes' CEL functions of semantic versions, read as github.com/blang/semver reads them."""

from __future__ import annotations

import re
from operator import itemgetter
from typing import Any

from tenantry.kube.go_text import quote
from tenantry.kube.schema.cel_errors import CelError, NoOverload
from tenantry.kube.schema.cel_functions.arguments import FunctionTable, text_of
from tenantry.kube.schema.cel_library.shared import access_to
from tenantry.kube.schema.cel_values import Cost, Opaque

FUNCTIONS = FunctionTable()
_LONGEST = 256
_WORD = re.compile(r"[0-9A-Za-z-]+", re.ASCII)
_NUMBER_MAX = (1 << 64) - 1


def parse(text: str) -> tuple[Any, ...]:
    """What versions are compared by: major, minor, patch, whether it is a release, and the marks before one. Raises CelError."""
    if not text:
        raise CelError("Version string empty")
    parts = text.split(".", 2)
    if len(parts) != 3:
        raise CelError("No Major.Minor.Patch elements found")
    before_build, plus, build = parts[2].partition("+")
    patch, dash, before = before_build.partition("-")
    numbers = tuple(_number(*each) for each in zip(("Major", "Minor", "Patch"), (*parts[:2], patch), strict=True))
    marks = tuple(_mark(mark) for mark in before.split(".")) if dash else ()
    for word in build.split(".") if plus else ():
        if not word:
            raise CelError("Build meta data is empty")
        if not _WORD.fullmatch(word):
            raise CelError(f"Invalid character(s) found in build meta data {quote(word)}")
    return (*numbers, not dash, marks)


def _number(name: str, digits: str) -> int:
    if digits and not (digits.isdecimal() and digits.isascii()):
        raise CelError(f"Invalid character(s) found in {name.lower()} number {quote(digits)}")
    if len(digits) > 1 and digits.startswith("0"):
        raise CelError(f"{name} number must not contain leading zeroes {quote(digits)}")
    if not digits:
        raise CelError('strconv.ParseUint: parsing "": invalid syntax')
    if len(digits) > 20 or int(digits) > _NUMBER_MAX:
        raise CelError(f"strconv.ParseUint: parsing {quote(digits)}: value out of range")
    return int(digits)


def _mark(mark: str) -> tuple[int, int, str]:
    if not mark:
        raise CelError("Prerelease is empty")
    if mark.isdecimal() and mark.isascii():
        if len(mark) > 1 and mark.startswith("0"):
            raise CelError(f"Numeric PreRelease version must not contain leading zeroes {quote(mark)}")
        return 0, int(mark), ""
    if not _WORD.fullmatch(mark):
        raise CelError(f"Invalid character(s) found in prerelease {quote(mark)}")
    return 1, 0, mark


def _normalized(text: str) -> str:
    """Without a small v in front and zeroes before numbers, and with three numbers."""
    parts = text.removeprefix("v").split(".", 2)
    for place, part in enumerate(parts):
        if len(part.encode(errors="replace")) > 1:
            rest = part.lstrip("0")
            parts[place] = rest if rest[:1].isdecimal() and rest[:1].isascii() else f"0{rest}"
    if len(parts) < 3 and ("+" in parts[-1] or "-" in parts[-1]):
        raise CelError("short version cannot contain PreRelease/Build meta data")
    return ".".join([*parts, "0", "0"][:3])


def _semver(cost: Cost, text: Any, normalize: Any = False) -> Opaque:
    cost.text(len(text_of(text)))
    if type(normalize) is not bool:
        raise NoOverload
    if len(text) > _LONGEST:
        raise CelError("No Major.Minor.Patch elements found")
    return Opaque("Semver", parse(_normalized(text) if normalize else text))


def _is_semver(cost: Cost, text: Any, normalize: Any = False) -> bool:
    text_of(text)
    try:
        _semver(cost, text, normalize)
    except NoOverload:
        raise
    except CelError:
        return False
    return True


FUNCTIONS["semver", False] = _semver
FUNCTIONS["isSemver", False] = _is_semver
for _index, _name in enumerate(("major", "minor", "patch")):
    FUNCTIONS[_name, True] = access_to("Semver", itemgetter(_index))
