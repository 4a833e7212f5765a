"""apis.kcp.io APIConversion: how the versions of an APIResourceSchema of the same name become each other."""

from __future__ import annotations

from tenantry.tenancy.types.kcp_type import AGE, KcpType, KcpVersion, array, keyed, string, structure

_RULE = structure(
    {
        "destination": string(min_length=1),
        "field": string(min_length=1),
        "transformation": string(description="A CEL expression on `self`, the value of the field."),
    },
    "destination",
    "field",
)

API_CONVERSION = KcpType(
    group="apis.kcp.io",
    plural="apiconversions",
    singular="apiconversion",
    kind="APIConversion",
    versions=(
        KcpVersion(
            name="v1alpha1",
            description="APIConversion says how the versions of an APIResourceSchema are converted.",
            spec=structure(
                {
                    "conversions": keyed(
                        structure(
                            {
                                "from": string(min_length=1, pattern=r"^v[1-9][0-9]*([a-z]+[1-9][0-9]*)?$"),
                                "preserve": array(string()) | {"x-kubernetes-list-type": "set"},
                                "rules": keyed(_RULE, "destination"),
                                "to": string(min_length=1, pattern=r"^v[1-9][0-9]*([a-z]+[1-9][0-9]*)?$"),
                            },
                            "from",
                            "rules",
                            "to",
                        ),
                        "from",
                        "to",
                    )
                },
                "conversions",
            ),
            required=("spec",),
            columns=(AGE,),
        ),
    ),
)
