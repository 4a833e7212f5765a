"""apis.kcp.io APIExportEndpointSlice: the URLs under which the owner of an export finds its consumers' objects."""

from __future__ import annotations

from tenantry.tenancy.types.kcp_type import (
    AGE,
    CONDITIONS,
    LABEL_SELECTOR,
    PATH_PATTERN,
    KcpType,
    KcpVersion,
    boolean,
    keyed,
    rule,
    string,
    structure,
)

_ENDPOINT = structure(
    {
        "shards": structure(
            {"matchAll": boolean(), "selector": LABEL_SELECTOR},
            rules=(rule("!(has(self.matchAll) && self.matchAll && has(self.selector))", "matchAll and selector are exclusive"),),
        ),
        "url": string(min_length=1, format="URL"),
    },
    "url",
)

ENDPOINT_SLICE_STATUS = structure({"conditions": CONDITIONS, "endpoints": keyed(_ENDPOINT, "url"), "shardSelector": string()})

API_EXPORT_ENDPOINT_SLICE = KcpType(
    group="apis.kcp.io",
    plural="apiexportendpointslices",
    singular="apiexportendpointslice",
    kind="APIExportEndpointSlice",
    versions=(
        KcpVersion(
            name="v1alpha1",
            description="APIExportEndpointSlice lists the URLs of an APIExport, one for each range that has a consumer.",
            spec=structure(
                {
                    "export": structure({"name": string(min_length=1), "path": string(pattern=PATH_PATTERN)}, "name")
                    | {"x-kubernetes-validations": [rule("self == oldSelf", "APIExport reference must not be changed")]},
                    "partition": string(description="The name of a Partition in the same workspace."),
                },
                "export",
            ),
            status=ENDPOINT_SLICE_STATUS,
            columns=(AGE,),
        ),
    ),
)
