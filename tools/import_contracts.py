"""Contracts for import-linter that are specific to this project."""

from __future__ import annotations

from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


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


class ViewsUseTheInterface(Contract):
    """Packages of views import only what is promised to them.

    `packages`: a pattern of their names. `interface`: the module that they may import of `library`. `agents`: packages of the
    library that their modules may import instead, where these are programs and no views.
    """

    packages = fields.StringField()
    library = fields.StringField()
    interface = fields.StringField()
    agents = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        options = self.contract_options
        packages, library, interface = (str(options[name]) for name in ("packages", "library", "interface"))
        agents = tuple(f"{package}." for package in options["agents"])
        wrong: list[tuple[str, str]] = []
        for module in sorted(graph.modules):
            if not fnmatchcase(module.partition(".")[0], packages) or graph.is_module_squashed(module):
                continue
            used = graph.find_modules_directly_imported_by(module)
            for name in sorted(used - {interface}):
                is_of_library = name.partition(".")[0] == library
                if is_of_library and (interface in used or not f"{name}.".startswith(agents)):
                    wrong.append((module, name))
        return ContractCheck(kept=not wrong, metadata={"wrong": wrong})

    def render_broken_contract(self, check: ContractCheck) -> None:
        output.print_error(f"These import more of {self.library} than {self.interface}:")
        for module, name in check.metadata["wrong"]:
            output.indent_cursor()
            output.print(f"{module} -> {name}")
