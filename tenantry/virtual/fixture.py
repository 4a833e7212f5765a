"""What `tenantry views check` needs of a package to try a view: objects, users and a place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tenantry.apiserver.user import User
from tenantry.kube.objects import Object


class Given(NamedTuple):
    """An object that exists. `workspace`: one of `Fixture.workspaces`, or `root`. `user`: its creator; None: system:masters."""

    workspace: str
    obj: Object
    user: User | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixture:
    """The place that is tried, with its objects and users. `$(one)` in a text stands for the id of the workspace `one`.

    `workspaces`: names of workspaces under root. `given`: objects that are created before, in this order: some that the view
    shows, some that it hides, and the RBAC of users. `arguments`: those of the place. `cluster`: the workspace of the place, in a
    view that is `per_cluster`.

    `allowed`: users who may use the place and see some of the objects. The first one tries everything. `refused`: users who may
    not.

    `later`: objects that are created, changed and deleted while watches run. By default copies of those of `given` whose type the
    view serves. `writes`: for views that write, objects to be created through the view, as the client sees them.
    """

    given: tuple[Given, ...]
    allowed: tuple[User, ...]
    refused: tuple[User, ...] = ()
    later: tuple[Given, ...] = ()
    writes: tuple[Object, ...] = ()
    workspaces: tuple[str, ...] = ("one", "two")
    cluster: str = "one"
    arguments: tuple[str, ...] = ()
