"""The cells of classes and drivers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tenantry.kube.objects import Object
from tenantry.kube.workloads.printing.cells import AGE, NAME, NONE, UNSET, Cell, field, plain, spec, spec_of


def _audiences(driver: Object) -> str:
    requests = spec_of(driver).get("tokenRequests")
    return UNSET if requests is None else ",".join(each.get("audience") or "" for each in requests)


CELLS: Mapping[str, Sequence[Cell]] = {
    "CSIDriver": (
        NAME,
        spec("attachRequired", True),
        spec("podInfoOnMount", False),
        spec("storageCapacity", False),
        plain(_audiences),
        spec("requiresRepublish", False),
        plain(lambda obj: ",".join(spec_of(obj).get("volumeLifecycleModes") or ()) or NONE),
        AGE,
    ),
    "PriorityClass": (NAME, field("value", 0), field("globalDefault", False), AGE, field("preemptionPolicy")),
    "RuntimeClass": (NAME, field("handler"), AGE),
    "StorageClass": (
        NAME,
        field("provisioner"),
        field("reclaimPolicy", "Delete"),
        field("volumeBindingMode", "Immediate"),
        field("allowVolumeExpansion", False),
        AGE,
    ),
    "VolumeAttributesClass": (NAME, field("driverName"), AGE),
}
