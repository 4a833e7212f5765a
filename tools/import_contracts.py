"""Contracts for import-linter that are specific to this project."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, output


class NoCycles(Contract):
    """Forbids import cycles between modules, including imports for type checking."""

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        own = {module for module in graph.modules if not graph.is_module_squashed(module)}
        imports = {module: graph.find_modules_directly_imported_by(module) & own for module in own}
        try:
            TopologicalSorter(imports).prepare()
        except CycleError as error:
            return ContractCheck(kept=False, metadata={"cycle": error.args[1]})
        return ContractCheck(kept=True)

    def render_broken_contract(self, check: ContractCheck) -> None:
        output.print_error("These modules import each other in a circle:")
        for module in check.metadata["cycle"]:
            output.indent_cursor()
            output.print(module)
