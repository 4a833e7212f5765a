"""tenancy.kcp.io WorkspaceType: the initial contents of workspaces of a type, and their allowed parents and children."""

from __future__ import annotations

from tenantry.kube.definition import Strategy
from tenantry.kube.names import dns1123_label_errors
from tenantry.kube.objects import Object
from tenantry.tenancy.types.kcp_type import (
    AGE,
    CONDITIONS,
    PATH_PATTERN,
    POLICY_RULES,
    KcpType,
    KcpVersion,
    array,
    boolean,
    mapping,
    string,
    structure,
)
from tenantry.tenancy.types.strategy import TypeStrategy
from tenantry.tenancy.types.workspace import TYPE_REFERENCE

_LIMIT = structure(
    {
        "none": boolean(description="No type at all is allowed."),
        "types": array(TYPE_REFERENCE, min_items=1),
    }
) | {"oneOf": [{"required": ["none"], "properties": {"none": {"enum": [True]}}}, {"required": ["types"]}]}


class WorkspaceTypeStrategy(TypeStrategy):
    """The rules for names are those of Workspaces."""

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        return dns1123_label_errors(name, prefix=prefix)


def _strategy(inner: Strategy) -> Strategy:
    return WorkspaceTypeStrategy(inner)


_SPEC: Object = structure(
    {
        "additionalWorkspaceLabels": mapping(string(), description="Labels that workspaces of the type get."),
        "authenticationConfigurations": array(structure({"name": string(min_length=1)}, "name")),
        "defaultAPIBindingLifecycle": string(enum=["InitializeOnly", "Maintain"]),
        "defaultAPIBindings": array(
            structure({"export": string(), "path": string(pattern=PATH_PATTERN)}, "export"),
            description="Exports that workspaces of the type are bound to from the start.",
        ),
        "defaultChildWorkspaceType": TYPE_REFERENCE,
        "extend": structure({"with": array(TYPE_REFERENCE)}, description="Types that this one includes."),
        "initializer": boolean(description="The type has a controller that prepares its workspaces."),
        "initializerPermissions": POLICY_RULES,
        "limitAllowedChildren": _LIMIT,
        "limitAllowedParents": _LIMIT,
        "terminator": boolean(description="The type has a controller that cleans up its workspaces."),
        "terminatorPermissions": POLICY_RULES,
    }
)

WORKSPACE_TYPE = KcpType(
    group="tenancy.kcp.io",
    plural="workspacetypes",
    singular="workspacetype",
    kind="WorkspaceType",
    strategy=_strategy,
    versions=(
        KcpVersion(
            name="v1alpha1",
            description="WorkspaceType is a kind of workspace.",
            spec=_SPEC,
            status=structure(
                {
                    "conditions": CONDITIONS,
                    "virtualWorkspaces": array(
                        structure(
                            {"type": string(enum=["initializing", "terminating"]), "url": string(format="URL", min_length=1)},
                            "url",
                        ),
                        description="Where the controllers of the type find its workspaces, one of each for every range.",
                    ),
                }
            ),
            columns=(AGE,),
        ),
    ),
)
