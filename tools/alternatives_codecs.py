"""YAML and slices of JSON beside the libraries that were weighed: the numbers of docs/decisions 24 and 26.

    pip install --target /tmp/alternatives ruamel.yaml ryaml oryaml fastyaml-rs ijson json-stream jiter pysimdjson
    PYTHONPATH=/tmp/alternatives .venv/bin/python -m tools.alternatives_codecs

A time is the best of several rounds, in processor time. A call into C keeps the interpreter until it returns.
"""

from __future__ import annotations

import gc
import io
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import orjson
import yaml

from tenantry.kube.codec import json_slices, yaml_codec
from tools.alternatives import row

JSON_ROUNDS = 10


def _ours(text: str) -> Any:
    return yaml_codec.decode(text.encode())[0]


def yaml_scalars() -> None:
    """What each library makes of texts for which Go's sigs.k8s.io/yaml has a rule."""
    texts = ("yes", "y", "0644", "0o644", "12:30:45", "2024-01-02", "18446744073709551616", ".inf", "1e3", "!!binary aGVsbG8=")
    for text in (*(f"a: {text}" for text in texts), "1: x", "true: x", "null: x", "x: &x {b: 1}\na: {<<: *x}", "a: 1\na: 2"):
        print(repr(text), {name: _result(read, text) for name, read in {"ours": _ours, **_yaml_libraries()}.items()})


def _result(read: Callable[[str], Any], text: str) -> str:
    try:
        return repr(read(text))
    except Exception as error:
        return type(error).__name__


def _yaml_libraries() -> dict[str, Callable[[str], Any]]:
    return {
        "PyYAML, CSafeLoader": lambda text: yaml.load(text, Loader=yaml.CSafeLoader),
        "ruamel.yaml": lambda text: import_module("ruamel.yaml").YAML(typ="safe", pure=False).load(text),
        "ryaml": import_module("ryaml").loads,
        "oryaml": import_module("oryaml").loads,
        "fastyaml-rs": import_module("fast_yaml").safe_load,
    }


def yaml_speed() -> None:
    lines = "".join(f"  k{number}: {'v' * 40}\n" for number in range(100))
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n{lines}"
    for name, read in _yaml_libraries().items():
        assert read(text) == _ours(text)
        row(f"YAML, ConfigMap of 100 keys, {name}", 2, partial(_ours, text), partial(read, text))


def yaml_aliases() -> None:
    """Nine levels of nine aliases each: 387,420,489 values from 500 bytes. Counted are the first seven levels, which fit."""
    levels = "".join(f"l{number}: &l{number} [{','.join([f'*l{number - 1}'] * 9)}]\n" for number in range(1, 8))
    text = f"l0: &l0 x\n{levels}"
    print(
        f"aliases, {len(text)} bytes:", {name: _items(read, text) for name, read in {"ours": _ours, **_yaml_libraries()}.items()}
    )


def _items(read: Callable[[str], Any], text: str) -> str:
    try:
        value = read(text)["l7"]
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:60]
    return f"accepted, {len({id(item) for item in value})} of 9 lists are objects of their own"


def json_texts() -> None:
    texts = {
        "digits": b"[" + b"1," * 199_999 + b"1]",
        '{"a":"b"}': b"[" + b'{"a":"b"},' * 66_666 + b'{"a":"b"}]',
        "one object of 199,000 keys": orjson.dumps({f"k{number}": number for number in range(199_000)}),
    }
    in_one_call: dict[str, Callable[[bytes], Any]] = {
        "orjson": orjson.loads,
        "msgspec": import_module("msgspec.json").decode,
        "jiter": import_module("jiter").from_json,
        "pysimdjson": lambda body: _plain(import_module("simdjson").Parser().parse(body)),
        "ijson, one value": lambda body: next(import_module("ijson.backends.yajl2_c").items(io.BytesIO(body), "")),
    }
    by_events: dict[str, Callable[[bytes], Any]] = {
        "ijson, events": _of_events,
        "json-stream": lambda body: import_module("json_stream").to_standard_types(
            import_module("json_stream").load(io.BytesIO(body))
        ),
    }
    for title, body in texts.items():
        expected = orjson.loads(body)
        for name, decode in {"ours": json_slices.in_slices, **in_one_call, **by_events}.items():
            assert decode(body) == expected
            milliseconds = min(_milliseconds(partial(decode, body)) for _ in range(JSON_ROUNDS))
            print(f"{title}, {name}: {milliseconds:.1f} ms{', in one call' if name in in_one_call else ''}")
        print(f"{title}, the longest call of ours: {min(_longest_call(body) for _ in range(JSON_ROUNDS)):.2f} ms")


def _milliseconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return (time.process_time() - begin) * 1e3


def _longest_call(body: bytes) -> float:
    times: list[float] = []

    def parse(text: bytes) -> Any:
        begin = time.process_time()
        value = orjson.loads(text)
        times.append(time.process_time() - begin)
        return value

    json_slices.in_slices(body, parse)
    return max(times) * 1e3


def _of_events(body: bytes) -> Any:
    builder = import_module("ijson").ObjectBuilder()
    for event, value in import_module("ijson.backends.yajl2_c").basic_parse(io.BytesIO(body)):
        builder.event(event, value)
    return builder.value


def _plain(value: Any) -> Any:
    return value.as_dict() if hasattr(value, "as_dict") else value.as_list()


if __name__ == "__main__":
    gc.disable()  # as in the product, which collects between turns of its loop
    yaml_scalars()
    yaml_aliases()
    yaml_speed()
    json_texts()
