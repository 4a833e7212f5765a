"""Every target, by its name."""

from __future__ import annotations

from tests.fuzz import configurations, connections, conversions, decoders, expressions, quotas, requests
from tests.fuzz.targets import Target

TARGETS: dict[str, Target] = {
    each.name: each
    for module in (decoders, expressions, configurations, connections, conversions, quotas, requests)
    for each in module.TARGETS
}
