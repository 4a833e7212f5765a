"""The definition of the bindings of admission policies, of either kind."""

from __future__ import annotations

from tenantry.kube.columns import AGE, NAME, column
from tenantry.kube.definition import ResourceDefinition, Strategy, Version
from tenantry.kube.message_tables import Message
from tenantry.kube.objects import Object
from tenantry.kube.types.admission_messages import GROUP


def _param_ref(binding: Object) -> str:
    """The cell of the column ParamRef, for bindings of both kinds of policies."""
    found = (binding.get("spec") or {}).get("paramRef")
    if found is None:
        return "<unset>"
    name, namespace, selector = found.get("name"), found.get("namespace"), found.get("selector")
    if name:
        return f"{namespace or '*'}/{name}"
    return "<unset>" if selector is None else _selector_text(selector)


def _selector_text(selector: Object) -> str:
    """A label selector as Go's generated code prints it."""
    equal = "".join(f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items()))
    others = "".join(
        "LabelSelectorRequirement{"
        f"Key:{each.get('key', '')},Operator:{each.get('operator', '')},Values:[{' '.join(each.get('values') or ())}],}},"
        for each in selector.get("matchExpressions") or ()
    )
    return f"&LabelSelector{{MatchLabels:map[string]string{{{equal}}},MatchExpressions:[]LabelSelectorRequirement{{{others}}},}}"


def bindings_of(policy: str, strategy: Strategy, message: Message) -> ResourceDefinition:
    """`policy`: the kind of the policies."""
    kind = f"{policy}Binding"
    return ResourceDefinition(
        group=GROUP,
        plural=f"{kind.lower()}s",
        singular=kind.lower(),
        kind=kind,
        list_kind=f"{kind}List",
        namespaced=False,
        categories=("api-extensions",),
        versions={
            "v1": Version(
                name="v1",
                schema=message.schema,
                message=message,
                columns=(
                    NAME,
                    column(
                        "PolicyName",
                        "PolicyName indicates the policy definition which the policy binding binded to",
                        lambda binding: (binding.get("spec") or {}).get("policyName") or "",
                    ),
                    column("ParamRef", "ParamRef indicates the param resource which sets the configuration param", _param_ref),
                    AGE,
                ),
            )
        },
        storage_version="v1",
        strategy=strategy,
    )
