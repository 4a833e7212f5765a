"""Callers of the tests, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.support.api import RBAC, Api, Object

PEOPLE = 400
GROUP = "rbac.authorization.k8s.io"
ACCESS = {"nonResourceURLs": ["/"], "verbs": ["access"]}
"""What it takes to enter a workspace at all."""


@dataclass(frozen=True)
class Person:
    """An ordinary user of the token file. Nobody but the test that took them knows them."""

    name: str
    token: str
    group: str

    @property
    def subject(self) -> Object:
        return {"kind": "User", "apiGroup": GROUP, "name": self.name}


def everybody() -> list[Person]:
    return [Person(f"person-{n}", f"token-of-person-{n}", f"crew-{n}") for n in range(PEOPLE)]


def token_file() -> str:
    return "".join(f'{p.token},{p.name},uid-of-{p.name},"{p.group}"\n' for p in everybody())


def grant(api: Api, subject: Object, *rules: Object, name: str = "granted") -> None:
    """A ClusterRole of `rules`, bound to the subject."""
    role = {"apiVersion": f"{GROUP}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": list(rules)}
    api.create(f"{RBAC}/clusterroles", role)
    bind(api, subject, name, name=name)


def bind(api: Api, subject: Object, role: str, *, name: str) -> None:
    """Binds an existing ClusterRole."""
    binding = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "subjects": [subject],
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
    }
    api.create(f"{RBAC}/clusterrolebindings", binding)


CONTENT = "apiexports/content"


def provide(api: Api, person: Person, export: str, *verbs: str) -> None:
    """Lets a person work on what consumers gave to an export of this workspace."""
    grant(
        api, person.subject, ACCESS, rule("apis.kcp.io", CONTENT, *verbs, resourceNames=[export]), name=f"content-{person.name}"
    )


def rule(group: str, resources: str, *verbs: str, **more: Any) -> Object:
    """One rule; `resources` is a comma-separated list."""
    return {"apiGroups": [group], "resources": resources.split(","), "verbs": list(verbs) or ["*"], **more}
