"""The CEL interpreter beside the libraries that were weighed: the numbers of docs/decisions 19.

    pip install --target /tmp/alternatives cel-expr-python cel-python common-expression-language
    PYTHONPATH=/tmp/alternatives .venv/bin/python -m tools.alternatives_cel

Compiled once, run many times. Each row is the best of several rounds in turns, in processor time.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from tenantry.kube.schema import cel
from tools.alternatives import row

VALUE = {
    "min": 2,
    "max": 10,
    "text": "ab" * 40,
    "names": [f"n{number}" for number in range(100)],
    "items": [{"name": f"n{number}", "port": number} for number in range(100)],
}
EXPRESSIONS = (
    "self.min <= self.max",
    "self.text.startsWith('ab') && size(self.text) < 100",
    "self.names.all(n, n.startsWith('n'))",
    "self.items.exists(i, i.port == 99)",
    "self.text.matches('^[a-h]+$')",
)
ONLY_KUBERNETES = (
    "self.items.all(a, self.items.exists_one(b, b.name == a.name))",
    "quantity('1Gi').isGreaterThan(quantity('1Mi'))",
    "self.names.isSorted()",
    "self.text.find('b+') == 'b'",
    "isIP('10.0.0.1')",
    "self.text.replace('', self.text).replace('', self.text).replace('', self.text).size() > 0",
)
TYPES = 200


def _cpp_environment() -> Any:
    cpp = import_module("cel_expr_python").cel
    extensions = [
        getattr(import_module(f"cel_expr_python.ext.ext_{name.lower()}"), f"Ext{name}")()
        for name in ("Optional", "Strings", "Math", "Bindings", "Encoders")
    ]
    return cpp.NewEnv(variables={"self": cpp.Type.DYN, "oldSelf": cpp.Type.DYN}, extensions=extensions)


def _cpp(text: str) -> Callable[[], Any]:
    expression = _cpp_environment().compile(text)
    return lambda: expression.eval(data={"self": VALUE}).value()


def _celpy(text: str) -> Callable[[], Any]:
    celpy = import_module("celpy")
    environment = celpy.Environment()
    program = environment.program(environment.compile(text))
    return lambda: program.evaluate({"self": celpy.json_to_cel(VALUE)})


def _rust(text: str) -> Callable[[], Any]:
    program = import_module("cel").compile(text)
    return lambda: program.execute({"self": VALUE})


LIBRARIES = {"cel-expr-python": _cpp, "cel-python": _celpy, "common-expression-language": _rust}


def _ours(text: str) -> Callable[[], Any]:
    return partial(cel.Program(text).run, VALUE)


def speed() -> None:
    for text in EXPRESSIONS:
        ours = _ours(text)
        for name, library in LIBRARIES.items():
            theirs = library(text)
            assert bool(theirs()) is ours()
            row(f"CEL, {text}, {name}", 1 if name == "cel-python" else 20, ours, theirs)


def kubernetes() -> None:
    """What Kubernetes has and the libraries need not have: its functions, and its bound of the cost."""
    for text in ONLY_KUBERNETES:
        found = {}
        for name, library in {"ours": _ours, **LIBRARIES}.items():
            try:
                found[name] = str(library(text)())
            except Exception as error:
                found[name] = f"{type(error).__name__}: {error}".partition("\n")[0][:60]
        print(text, found)


def memory() -> None:
    """What environments cost that are kept: the C++ engine needs one for each schema, as the types of variables are its own."""
    kept: list[Any] = []
    for title, make in (("cel-expr-python", _environment), ("ours", _program)):
        before = _kib()
        kept.extend(make(number) for number in range(TYPES))
        print(f"memory of a kept rule, {title}: {(_kib() - before) / TYPES:.0f} KiB")
    print(f"{len(kept)} kept, peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB")


def _environment(number: int) -> Any:
    environment = _cpp_environment()
    return environment, environment.compile(f"self.a{number} <= self.b{number}")


def _program(number: int) -> Any:
    return cel.Program(f"self.a{number} <= self.b{number}")


def _kib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024


if __name__ == "__main__":
    memory()
    kubernetes()
    speed()
