"""The name formats of Kubernetes (k8s.io/apimachinery validation), with its error texts.

Each function returns a list of error texts, which is empty for a valid name. The texts are those of kube-apiserver 1.36.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence

from tenantry.base.cache import cached

SUBDOMAIN_MAX_LENGTH = 253
LABEL_MAX_LENGTH = 63
QUALIFIED_NAME_MAX_LENGTH = 63

_LABEL_FORMAT = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_FORMAT = _LABEL_FORMAT + r"(\." + _LABEL_FORMAT + ")*"
_DNS1035_FORMAT = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED_FORMAT = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE_FORMAT = f"({_QUALIFIED_FORMAT})?"
_CONFIG_KEY_FORMAT = "[-._a-zA-Z0-9]+"

_WINDOW = 1 << 16
"""Characters that are checked in one step, in which no other thread can run: a tenth of a millisecond."""


def _matcher(form: re.Pattern[str], characters: str, dot_apart: Sequence[str] = ()) -> Callable[[str], bool]:
    """A function that checks the form of a text: only `characters` (ASCII), the right ones at both ends, and in `dot_apart`
    formats no dot beside another separator. A long text is checked in steps."""
    whole, allowed = form.fullmatch, characters.encode()

    def matches(text: str) -> bool:
        if len(text) <= _WINDOW:
            return whole(text) is not None
        if not text.isascii():
            return False
        for start in range(0, len(text), _WINDOW):
            end = start + _WINDOW
            if text[start:end].encode().translate(None, allowed):
                return False
            if "." in text[start : end + 1] and any(text.find(pair, start, end + 1) >= 0 for pair in dot_apart):
                return False
        return whole(text[0] + text[-1]) is not None

    return matches


_LOWER = string.ascii_lowercase + string.digits + "-"
_LETTERS = string.ascii_letters + string.digits + "-_."
_is_label = _matcher(re.compile(_LABEL_FORMAT), _LOWER)
_is_subdomain = _matcher(re.compile(_SUBDOMAIN_FORMAT), _LOWER + ".", ("..", ".-", "-."))
_is_dns1035 = _matcher(re.compile(_DNS1035_FORMAT), _LOWER)
_is_qualified = _matcher(re.compile(_QUALIFIED_FORMAT), _LETTERS)
_is_label_value = _matcher(re.compile(_LABEL_VALUE_FORMAT), _LETTERS)
_is_config_key = _matcher(re.compile(_CONFIG_KEY_FORMAT), _LETTERS)

_ENDS = "and must start and end with an alphanumeric character"


def regex_error(message: str, pattern: str, *examples: str) -> str:
    """Upstream's wording for a value that does not match a pattern."""
    if not examples:
        return f"{message} (regex used for validation is '{pattern}')"
    quoted = " or ".join(f"'{example}', " for example in examples)
    return f"{message} (e.g. {quoted}regex used for validation is '{pattern}')"


_LABEL_TEXT = regex_error(
    f"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', {_ENDS}",
    _LABEL_FORMAT,
    "my-name",
    "123-abc",
)
_SUBDOMAIN_TEXT = regex_error(
    f"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', {_ENDS}",
    _SUBDOMAIN_FORMAT,
    "example.com",
)
_DNS1035_TEXT = regex_error(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
    "start with an alphabetic character, and end with an alphanumeric character",
    _DNS1035_FORMAT,
    "my-name",
    "abc-123",
)
_QUALIFIED_RULE = f"must consist of alphanumeric characters, '-', '_' or '.', {_ENDS}"
_QUALIFIED_TEXT = regex_error(_QUALIFIED_RULE, _QUALIFIED_FORMAT, "MyName", "my.name", "123-abc")
_LABEL_VALUE_TEXT = regex_error(
    f"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', {_ENDS}",
    _LABEL_VALUE_FORMAT,
    "MyValue",
    "my_value",
    "12345",
)
_CONFIG_KEY_TEXT = regex_error(
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    _CONFIG_KEY_FORMAT,
    "key.name",
    "KEY_NAME",
    "key-name",
)


def _mask_trailing_dash(name: str) -> str:
    """A generateName may end in a dash, because letters follow."""
    return name[:-1] + "a" if len(name) > 1 and name.endswith("-") else name


def dns1123_subdomain_errors(name: str, *, prefix: bool = False) -> list[str]:
    """RFC 1123 subdomain; with `prefix` the value is a generateName."""
    if prefix:
        name = _mask_trailing_dash(name)
    errors = [f"must be no more than {SUBDOMAIN_MAX_LENGTH} characters"] if len(name) > SUBDOMAIN_MAX_LENGTH else []
    if not _is_subdomain(name):
        errors.append(_SUBDOMAIN_TEXT)
    return errors


def dns1123_label_errors(name: str, *, prefix: bool = False) -> list[str]:
    """RFC 1123 label (namespaces)."""
    if prefix:
        name = _mask_trailing_dash(name)
    errors = [f"must be no more than {LABEL_MAX_LENGTH} characters"] if len(name) > LABEL_MAX_LENGTH else []
    if not _is_label(name):
        errors.append("must not contain dots" if _is_subdomain(name) else _LABEL_TEXT)
    return errors


def dns1035_label_errors(name: str, *, prefix: bool = False) -> list[str]:
    """RFC 1035 label: starts with a letter (plural and singular names of CRDs)."""
    if prefix:
        name = _mask_trailing_dash(name)
    errors = [f"must be no more than {LABEL_MAX_LENGTH} characters"] if len(name) > LABEL_MAX_LENGTH else []
    if not _is_dns1035(name):
        errors.append(_DNS1035_TEXT)
    return errors


def path_segment_errors(name: str, *, prefix: bool = False) -> list[str]:
    """The errors of a name that only has to be a valid URL path segment (RBAC objects)."""
    if not prefix and name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{part}'" for part in ("/", "%") if part in name]


@cached("qualified_names", bytes_max=1 << 20)
def _qualified_name_errors(key: str) -> tuple[str, ...]:
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        return (f"a valid label key {_QUALIFIED_TEXT} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",)
    errors = []
    if slash:
        if not prefix:
            errors.append("prefix part must be non-empty")
        else:
            if len(prefix) > SUBDOMAIN_MAX_LENGTH:
                errors.append(f"prefix part must be no more than {SUBDOMAIN_MAX_LENGTH} bytes")
            if not _is_subdomain(prefix):
                errors.append(f"prefix part {_SUBDOMAIN_TEXT}")
    if not name:
        errors.append("name part must be non-empty")
    elif len(name.encode(errors="replace")) > QUALIFIED_NAME_MAX_LENGTH:
        errors.append(f"name part must be no more than {QUALIFIED_NAME_MAX_LENGTH} bytes")
    if not _is_qualified(name):
        errors.append(f"name part {_QUALIFIED_TEXT}")
    return tuple(errors)


def qualified_name_errors(key: str) -> list[str]:
    """`name` or `prefix/name`: the keys of labels and annotations, finalizers, condition types."""
    return list(_qualified_name_errors(key))


@cached("label_values", bytes_max=1 << 20)
def _label_value_errors(value: str) -> tuple[str, ...]:
    errors = []
    if len(value.encode(errors="replace")) > LABEL_MAX_LENGTH:
        errors.append(f"must be no more than {LABEL_MAX_LENGTH} bytes")
    if not _is_label_value(value):
        errors.append(_LABEL_VALUE_TEXT)
    return tuple(errors)


def label_value_errors(value: str) -> list[str]:
    """The value of a label."""
    return list(_label_value_errors(value))


def config_key_errors(key: str) -> list[str]:
    """A key in the data of a ConfigMap or Secret."""
    if len(key) <= SUBDOMAIN_MAX_LENGTH and not key.startswith(".") and _is_config_key(key):
        return []
    errors = [f"must be no more than {SUBDOMAIN_MAX_LENGTH} characters"] if len(key) > SUBDOMAIN_MAX_LENGTH else []
    if not _is_config_key(key):
        errors.append(_CONFIG_KEY_TEXT)
    if key in (".", ".."):
        errors.append(f"must not be '{key}'")
    elif key.startswith(".."):
        errors.append("must not start with '..'")
    return errors
