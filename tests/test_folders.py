"""The folders of the tests are those of the packages: who changes a package finds its tests in the folder of its name."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TESTS = ROOT / "tests"
PROCESSES = ("registry", "shard", "gateway", "views", "tenantry_syncer", "tenantry_sync_agent")
"""Packages beside `tenantry`."""
WHOLE_SYSTEM = {
    "cases": "examples that a search found, and that they are tried again",
    "clients": "programs in other languages",
    "conformance": "Kubernetes' own tests, replayed",
    "deploy": "what runs the product elsewhere: images, Compose, manifests",
    "distributed": "what only processes of their own can suffer",
    "e2e": "unmodified clients on real processes",
    "faults": "platforms that are broken under load",
    "fuzz": "inputs that are searched for by what they reach, over all packages",
    "growth": "how the work grows with what is sent, over all packages",
    "support": "what tests run on",
}
"""Folders of no package, and what they hold."""
DEPTH = 2
"""Packages of packages have a folder too; what is below those may be tested a folder above."""


def packages(root: Path) -> list[str]:
    """Of the product below a folder, as paths from there, without what is generated."""
    found = [path.parent.relative_to(root) for path in root.rglob("__init__.py")]
    return sorted(str(path) for path in found if path.parts and path.parts[0] != "_proto")


def folders() -> list[str]:
    found = {path.parent.relative_to(TESTS) for path in TESTS.rglob("*.py")}
    return sorted(str(path) for path in found if path.parts and path.parts[0] not in WHOLE_SYSTEM)


PACKAGES = [*packages(ROOT / "tenantry"), *PROCESSES]


@pytest.mark.parametrize("package", [name for name in PACKAGES if len(Path(name).parts) <= DEPTH])
def test_a_package_has_tests_in_the_folder_of_its_name(package: str) -> None:
    assert list((TESTS / package).glob("test_*.py")), f"tests/{package} has no tests of the package"


def test_every_folder_is_that_of_a_package() -> None:
    assert [name for name in folders() if name not in PACKAGES] == [], "name what they hold in WHOLE_SYSTEM, or move them"


def test_every_exception_is_there() -> None:
    assert [name for name in WHOLE_SYSTEM if not (TESTS / name).is_dir() or name in PACKAGES] == []


def test_the_folders_of_packages_are_packages() -> None:
    """pytest would take two modules of one name for one."""
    assert [name for name in folders() if not (TESTS / name / "__init__.py").is_file()] == []
