"""PriorityLevelConfigurations: how much of a logical cluster's concurrency each kind of request may use (KEP-1040)."""

from __future__ import annotations

import math

from tenantry.kube.columns import AGE, NAME, column
from tenantry.kube.definition import ResourceDefinition, Strategy, Version
from tenantry.kube.field_errors import forbidden, invalid, not_supported, required
from tenantry.kube.flowcontrol.standard_objects import EXEMPT, MANDATORY_LEVELS
from tenantry.kube.go_values import internal_value
from tenantry.kube.message_tables import kind, message
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError
from tenantry.kube.types.flow_schema import GROUP, REF, condition, condition_errors
from tenantry.kube.types.reset import keep

_QUEUING = message(
    REF + "QueuingConfiguration",
    """
    1 queues           int32 always
    2 handSize         int32 always
    3 queueLengthLimit int32 always
    """,
)
_RESPONSE = message(
    REF + "LimitResponse",
    """
    1 type    string(v1.LimitResponseType) always required
    2 queuing *QueuingConfiguration
    """,
    _QUEUING,
)
_LIMITED = message(
    REF + "LimitedPriorityLevelConfiguration",
    """
    1 nominalConcurrencyShares *int32
    2 limitResponse            LimitResponse
    3 lendablePercent          *int32
    4 borrowingLimitPercent    *int32
    """,
    _RESPONSE,
)
_EXEMPT = message(
    REF + "ExemptPriorityLevelConfiguration",
    """
    1 nominalConcurrencyShares *int32
    2 lendablePercent          *int32
    """,
)
SPEC = message(
    REF + "PriorityLevelConfigurationSpec",
    """
    1 type    string(v1.PriorityLevelEnablement) always required
    2 limited *LimitedPriorityLevelConfiguration
    3 exempt  *ExemptPriorityLevelConfiguration
    """,
    _LIMITED,
    _EXEMPT,
)
_CONDITION = condition("PriorityLevelConfigurationCondition")
_STATUS = message(
    REF + "PriorityLevelConfigurationStatus", "1 conditions []PriorityLevelConfigurationCondition merge=type map=type", _CONDITION
)
MESSAGE = kind(
    REF + "PriorityLevelConfiguration",
    """
    2 spec   PriorityLevelConfigurationSpec
    3 status PriorityLevelConfigurationStatus
    """,
    SPEC,
    _STATUS,
)

_PRESERVE_ZERO = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares"
_TYPES = (EXEMPT.capitalize(), "Limited")
_RESPONSES = ("Queue", "Reject")
_QUEUES_MAX = 10_000_000
_HASH_BITS_MAX = 60
"""How much of a hash of 64 bits a hand may use. With more, hands are dealt too unevenly."""
_NOT_NEGATIVE = "must be a non-negative integer"


class PriorityLevelStrategy(Strategy):
    prefix_on_update = "before"

    tracks_generation = True

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        exempt, limited = spec.get("exempt"), spec.get("limited")
        if exempt is not None:
            _fill(exempt, nominalConcurrencyShares=0, lendablePercent=0)
        if limited is not None:
            _fill(limited, nominalConcurrencyShares=30, lendablePercent=0)
            queuing = (limited.get("limitResponse") or {}).get("queuing")
            if queuing is not None:
                for field, value in (("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)):
                    queuing[field] = queuing.get(field) or value

    def prepare_for_create(self, obj: Object) -> None:
        obj["status"] = {}

    def prepare_for_update(self, obj: Object, old: Object, subresource: str) -> None:
        keep(obj, old, "spec" if subresource == "status" else "status")

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        if subresource == "status":
            return condition_errors(obj)
        metadata, spec = obj["metadata"], obj.get("spec") or {}
        name = metadata.get("name", "")
        errors: list[FieldError] = []
        if _PRESERVE_ZERO in (metadata.get("annotations") or {}):
            errors.append(forbidden("metadata.annotations", f"annotation '{_PRESERVE_ZERO}' is forbidden"))
        errors += _spec_errors(name, spec)
        fixed = MANDATORY_LEVELS.get(name)
        if fixed is not None and spec != (fixed | {"exempt": spec.get("exempt")} if name == EXEMPT else fixed):
            but = " except the 'spec.exempt' field" if name == EXEMPT else ""
            text = f"spec of '{name}'{but} must equal the fixed value"
            errors.append(invalid("spec", internal_value(SPEC, spec), text))
        return errors + condition_errors(obj) + _union_errors(spec)


def _fill(values: Object, **defaults: int) -> None:
    for field, value in defaults.items():
        if values.get(field) is None:
            values[field] = value


def _spec_errors(name: str, spec: Object) -> list[FieldError]:
    kind_of = spec.get("type") or ""
    errors: list[FieldError] = []
    if (name == EXEMPT) != (kind_of == "Exempt"):
        errors.append(invalid("spec.type", kind_of, "must be 'Exempt' if and only if `name` is 'exempt'"))
    limited, exempt = spec.get("limited"), spec.get("exempt")
    if kind_of == "Exempt" and exempt is not None:
        errors += _amount_errors(exempt, "spec.exempt")
    elif kind_of == "Limited" and limited is not None:
        errors += _limited_errors(limited)
    elif kind_of and kind_of not in _TYPES:
        errors.append(not_supported("spec.type", kind_of, _TYPES))
    return errors


def _union_errors(spec: Object) -> list[FieldError]:
    """The errors of the fields that go with a type or not. Upstream finds them last, and says no more about them."""
    kind_of, limited = spec.get("type") or "", spec.get("limited")
    errors: list[FieldError] = []
    if kind_of != "Exempt" and spec.get("exempt") is not None:
        errors.append(_out_of_place("spec.exempt"))
    if kind_of == "Limited" and limited is None:
        errors.append(required("spec.limited"))
    elif kind_of != "Limited" and limited is not None:
        errors.append(_out_of_place("spec.limited"))
    if not kind_of:
        errors.append(required("spec.type"))
    if limited is None:
        return errors
    response, path = limited.get("limitResponse") or {}, "spec.limited.limitResponse"
    how, queuing = response.get("type") or "", response.get("queuing")
    if how == "Queue" and queuing is None:
        errors.append(required(f"{path}.queuing"))
    elif how != "Queue" and queuing is not None:
        errors.append(_out_of_place(f"{path}.queuing"))
    return errors if how else [*errors, required(f"{path}.type")]


def _out_of_place(path: str) -> FieldError:
    return FieldError("Forbidden", path, "Forbidden")


def _amount_errors(amounts: Object, path: str) -> list[FieldError]:
    errors = []
    shares, lendable = amounts.get("nominalConcurrencyShares"), amounts.get("lendablePercent")
    if shares is not None and shares < 0:
        errors.append(invalid(f"{path}.nominalConcurrencyShares", shares, _NOT_NEGATIVE))
    if lendable is not None and not 0 <= lendable <= 100:
        errors.append(invalid(f"{path}.lendablePercent", lendable, "must be between 0 and 100, inclusive"))
    return errors


def _limited_errors(limited: Object) -> list[FieldError]:
    path = "spec.limited"
    amounts = _amount_errors(limited, path)
    of_shares = [error for error in amounts if error.field.endswith("Shares")]
    errors = of_shares + _response_errors(limited.get("limitResponse") or {}, f"{path}.limitResponse")
    errors += [error for error in amounts if error not in of_shares]
    borrowing = limited.get("borrowingLimitPercent")
    if borrowing is not None and borrowing < 0:
        errors.append(invalid(f"{path}.borrowingLimitPercent", borrowing, f"if specified, {_NOT_NEGATIVE}"))
    return errors


def _response_errors(response: Object, path: str) -> list[FieldError]:
    kind_of, queuing = response.get("type") or "", response.get("queuing")
    if kind_of == "Queue":
        return [] if queuing is None else _queuing_errors(queuing, f"{path}.queuing")
    return [not_supported(f"{path}.type", kind_of, _RESPONSES)] if kind_of and kind_of not in _RESPONSES else []


def _queuing_errors(queuing: Object, path: str) -> list[FieldError]:
    queues, hand, length = (queuing.get(field) or 0 for field in ("queues", "handSize", "queueLengthLimit"))
    errors = []
    if length <= 0:
        errors.append(invalid(f"{path}.queueLengthLimit", length, "must be positive"))
    if queues <= 0:
        errors.append(invalid(f"{path}.queues", queues, "must be positive"))
    elif queues > _QUEUES_MAX:
        errors.append(invalid(f"{path}.queues", queues, f"must not be greater than {_QUEUES_MAX}"))
    if hand <= 0:
        errors.append(invalid(f"{path}.handSize", hand, "must be positive"))
    elif hand > queues:
        errors.append(invalid(f"{path}.handSize", hand, f"should not be greater than queues ({queues})"))
    elif math.ceil(math.log2(queues) * hand) > _HASH_BITS_MAX:
        text = f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {_HASH_BITS_MAX}"
        errors.append(invalid(f"{path}.handSize", hand, text))
    return errors


def _limited_of(obj: Object) -> Object:
    return (obj.get("spec") or {}).get("limited") or {}


def _queue_cell(field: str, obj: Object) -> object:
    queuing = (_limited_of(obj).get("limitResponse") or {}).get("queuing")
    return "<none>" if queuing is None else queuing.get(field) or 0


DEFINITION = ResourceDefinition(
    group=GROUP,
    plural="prioritylevelconfigurations",
    singular="prioritylevelconfiguration",
    kind="PriorityLevelConfiguration",
    list_kind="PriorityLevelConfigurationList",
    namespaced=False,
    versions={
        "v1": Version(
            name="v1",
            schema=MESSAGE.schema,
            message=MESSAGE,
            columns=(
                NAME,
                column(
                    "Type",
                    "`type` indicates whether this priority level is subject to limitation on request execution.  A "
                    'value of `"Exempt"` means that requests of this priority level are not subject to a limit (and '
                    "thus are never queued) and do not detract from the capacity made available to other priority "
                    'levels.  A value of `"Limited"` means that (a) requests of this priority level _are_ subject '
                    "to limits and (b) some of the server's limited capacity is made available exclusively to this "
                    "priority level. Required.",
                    lambda obj: (obj.get("spec") or {}).get("type") or "",
                ),
                column(
                    "NominalConcurrencyShares",
                    "`nominalConcurrencyShares` (NCS) contributes to the computation of the NominalConcurrencyLimit "
                    "(NominalCL) of this level. This is the number of execution seats available at this priority "
                    "level. This is used both for requests dispatched from this priority level as well as requests "
                    "dispatched from other priority levels borrowing seats from this level. The server's "
                    "concurrency limit (ServerCL) is divided among the Limited priority levels in proportion to "
                    "their NCS values:\n\nNominalCL(i)  = ceil( ServerCL * NCS(i) / sum_ncs ) sum_ncs = "
                    "sum[priority level k] NCS(k)\n\nBigger numbers mean a larger nominal concurrency limit, at the "
                    "expense of every other priority level.\n\nIf not specified, this field defaults to a value of "
                    '30.\n\nSetting this field to zero supports the construction of a "jail" for this priority '
                    "level that is used to hold some request(s)",
                    lambda obj: _limited_of(obj).get("nominalConcurrencyShares", "<none>"),
                ),
                column(
                    "Queues",
                    "`queues` is the number of queues for this priority level. The queues exist independently at "
                    "each apiserver. The value must be positive.  Setting it to 1 effectively precludes "
                    "shufflesharding and thus makes the distinguisher method of associated flow schemas "
                    "irrelevant.  This field has a default value of 64.",
                    lambda obj: _queue_cell("queues", obj),
                ),
                column(
                    "HandSize",
                    "`handSize` is a small positive number that configures the shuffle sharding of requests into "
                    "queues.  When enqueuing a request at this priority level the request's flow identifier (a "
                    "string pair) is hashed and the hash value is used to shuffle the list of queues and deal a "
                    "hand of the size specified here.  The request is put into one of the shortest queues in that "
                    "hand. `handSize` must be no larger than `queues`, and should be significantly smaller (so that "
                    "a few heavy flows do not saturate most of the queues).  See the user-facing documentation for "
                    "more extensive guidance on setting this field.  This field has a default value of 8.",
                    lambda obj: _queue_cell("handSize", obj),
                ),
                column(
                    "QueueLengthLimit",
                    "`queueLengthLimit` is the maximum number of requests allowed to be waiting in a given queue of "
                    "this priority level at a time; excess requests are rejected.  This value must be positive.  If "
                    "not specified, it will be defaulted to 50.",
                    lambda obj: _queue_cell("queueLengthLimit", obj),
                ),
                AGE,
            ),
            subresources=frozenset({"status"}),
        )
    },
    storage_version="v1",
    strategy=PriorityLevelStrategy(),
    made_when_used=True,
)
