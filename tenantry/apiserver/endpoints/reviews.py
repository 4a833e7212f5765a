"""Access reviews, token reviews and self reviews. They are answered from the scope's authorizer and the server's authenticator,
and are not stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tenantry.apiserver.authentication.authenticator import Authenticator, InvalidToken
from tenantry.apiserver.authorization import Attributes, Decision, Verdict
from tenantry.apiserver.authorizers.selector_requirements import field_text, label_text
from tenantry.apiserver.deferred import decided
from tenantry.apiserver.endpoints.connecting import created, read_body
from tenantry.apiserver.scope import Call, Connector
from tenantry.apiserver.user import User, make_extra, seen_in, with_home
from tenantry.base.time_slices import in_slices
from tenantry.http.messages import Reply
from tenantry.kube import field_errors
from tenantry.kube.field_errors import show
from tenantry.kube.label_selector_validation import field_requirement_errors, requirement_errors
from tenantry.kube.objects import Object, timestamp
from tenantry.kube.selectors import fields, labels
from tenantry.kube.status import FieldError, StatusError, bad_request, invalid

_AUTHENTICATION = "authentication.k8s.io"
_AUTHORIZATION = "authorization.k8s.io"
_DEEP_HEADER = "x-kcp-internal-deep-subjectaccessreview"
_OPERATORS = frozenset({"In", "NotIn", "Exists", "DoesNotExist"})


def connectors(authenticator: Authenticator) -> dict[tuple[str, str, str], Connector]:
    """(group, resource, subresource) → the connector that answers it."""

    async def token_review(call: Call) -> Reply:
        return await _token_review(call, authenticator)

    table: Mapping[tuple[str, str, str], Any] = {
        (_AUTHENTICATION, "tokenreviews", ""): token_review,
        (_AUTHENTICATION, "selfsubjectreviews", ""): self_subject_review,
        (_AUTHORIZATION, "subjectaccessreviews", ""): subject_access_review,
        (_AUTHORIZATION, "localsubjectaccessreviews", ""): local_subject_access_review,
        (_AUTHORIZATION, "selfsubjectaccessreviews", ""): self_subject_access_review,
        (_AUTHORIZATION, "selfsubjectrulesreviews", ""): self_subject_rules_review,
    }
    return dict(table)


async def _token_review(call: Call, authenticator: Authenticator) -> Reply:
    review = await read_body(call)
    spec = review.get("spec") or {}
    if not spec.get("token"):
        raise bad_request("token is required for TokenReview in authentication")
    try:
        identity = await authenticator.review(spec["token"], spec.get("audiences") or (), request=call.request)
    except InvalidToken as error:
        review["status"] = {"user": {}, "error": str(error)}
    else:
        review["status"] = {"authenticated": True, "user": seen_in(identity.user, call.cluster).to_user_info()}
        if identity.audiences:
            review["status"]["audiences"] = list(identity.audiences)
    return await created(call, review)


async def self_subject_review(call: Call) -> Reply:
    await read_body(call)
    return await created(call, {"metadata": {"creationTimestamp": timestamp()}, "status": {"userInfo": call.user.to_user_info()}})


async def subject_access_review(call: Call) -> Reply:
    return await _access_review(call, _subject)


async def self_subject_access_review(call: Call) -> Reply:
    return await _access_review(call, None)


async def local_subject_access_review(call: Call) -> Reply:
    def check(review: Object) -> list[FieldError]:
        spec = review.get("spec") or {}
        if spec.get("nonResourceAttributes"):
            return [_invalid_path(spec)]
        namespace = (spec.get("resourceAttributes") or {}).get("namespace", "")
        if namespace != call.namespace:
            return [field_errors.invalid("spec.resourceAttributes.namespace", namespace, "must match metadata.namespace")]
        return []

    return await _access_review(call, _subject, check)


async def self_subject_rules_review(call: Call) -> Reply:
    review = await read_body(call)
    namespace = (review.get("spec") or {}).get("namespace")
    if not namespace:
        raise bad_request("no namespace on request")
    rules_of = getattr(call.scope.authorizer, "rules", None)
    status: Object = {"resourceRules": [], "nonResourceRules": [], "incomplete": rules_of is None}
    problem = getattr(call.scope.authorizer, "rules_problem", "")
    if problem:
        status |= {"incomplete": True, "evaluationError": problem}
    if rules_of is None:
        status["evaluationError"] = "the authorizer of this API does not list rules"
    else:
        async for rule in in_slices(await decided(lambda: rules_of(call.user, call.cluster, namespace))):
            if rule.get("resources"):
                status["resourceRules"].append(_part(rule, ("verbs", "apiGroups", "resources", "resourceNames")))
            if rule.get("nonResourceURLs"):
                status["nonResourceRules"].append(_part(rule, ("verbs", "nonResourceURLs")))
    return await created(call, {"metadata": {}, "spec": {}, "status": status})


async def _access_review(
    call: Call, subject: Callable[[Object, str], User] | None, check: Callable[[Object], list[FieldError]] | None = None
) -> Reply:
    review = await read_body(call)
    spec = review.get("spec") or {}
    errors = _validate(review, call, with_subject=subject is not None)
    if check is not None:
        errors += check(review)
    if errors:
        raise _invalid(errors)
    attributes = _attributes(spec, call.user if subject is None else subject(spec, call.cluster), call.cluster)
    decision = await decided(lambda: _decide(call, attributes), place=call.request.place)
    status: Object = {"allowed": decision.allowed}
    if decision.verdict is Verdict.DENY:
        status["denied"] = True
    if decision.reason:
        status["reason"] = decision.reason
    ignored = _ignored_selectors(spec.get("resourceAttributes") or {})
    if ignored:
        status["evaluationError"] = ignored
    review["status"] = status
    return await created(call, review)


def _decide(call: Call, attributes: Attributes) -> Decision:
    authorizer = call.scope.authorizer
    deep = getattr(authorizer, "allows_deep", None)
    if deep is not None and call.user.is_master and call.request.header(_DEEP_HEADER) == "true":
        return Decision(Verdict.ALLOW if deep(attributes) else Verdict.NO_OPINION)
    return authorizer.authorize(attributes)


def _subject(spec: Object, cluster: str) -> User:
    extra = {key.lower(): values or [] for key, values in (spec.get("extra") or {}).items()}
    user = User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""), make_extra(extra))
    return with_home(user, cluster)


def _attributes(spec: Object, user: User, cluster: str) -> Attributes:
    resource = spec.get("resourceAttributes")
    if resource is None:
        path = spec["nonResourceAttributes"]
        return Attributes(user, path.get("verb", ""), cluster, path=path.get("path", ""))
    return Attributes(
        user,
        resource.get("verb", ""),
        cluster,
        resource.get("group", ""),
        resource.get("version") or "*",
        resource.get("resource", ""),
        resource.get("subresource", ""),
        resource.get("namespace", ""),
        resource.get("name", ""),
        field_selector=field_text(resource.get("fieldSelector")),
        label_selector=label_text(resource.get("labelSelector")),
    )


def _validate(review: Object, call: Call, *, with_subject: bool) -> list[FieldError]:
    """kube-apiserver's ValidateSubjectAccessReview and its siblings."""
    spec = review.get("spec") or {}
    errors: list[FieldError] = []
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (resource is None) == (path is None):
        errors.append(_wrong_number(path))
    if with_subject and not spec.get("user") and not spec.get("groups"):
        errors.append(field_errors.invalid("spec.user", "", "at least one of user or group must be specified"))
    for name in ("fieldSelector", "labelSelector"):
        errors += _validate_selector((resource or {}).get(name), f"spec.resourceAttributes.{name}")
    metadata = review["metadata"]
    allowed = {"managedFields", "namespace"} if call.definition.namespaced else {"managedFields"}
    if metadata.keys() - allowed:
        errors.append(field_errors.invalid("metadata", metadata, "must be empty"))
    return errors


def _validate_selector(selector: Object | None, path: str) -> list[FieldError]:
    if selector is None:
        return []
    raw, requirements = selector.get("rawSelector"), selector.get("requirements")
    if raw and requirements:
        return [field_errors.invalid(f"{path}.rawSelector", raw, "may not specified at the same time as requirements")]
    if not raw and not requirements:
        text = f"when {path} is specified, requirements or rawSelector is required"
        return [field_errors.required(f"{path}.requirements", text)]
    of_labels = path.endswith("labelSelector")
    errors: list[FieldError] = []
    for index, requirement in field_errors.while_few(errors, enumerate(requirements or ())):
        # A client may know operators that this server does not.
        found = f"{path}.requirements[{index}]"
        errors += (
            requirement_errors(requirement, found, any_operator=True)
            if of_labels
            else field_requirement_errors(requirement, found)
        )
    return errors


def _ignored_selectors(resource: Object) -> str:
    """Errors in a review's selectors. RBAC does not use selectors, but a selector that cannot be parsed is reported."""
    texts = [
        f"spec.resourceAttributes.{name} ignored due to parse error"
        for name, parse in (("fieldSelector", fields.parse), ("labelSelector", labels.parse))
        if (selector := resource.get(name)) and not _understood(selector, parse)
    ]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]" if texts else ""


def _understood(selector: Object, parse: Callable[[str], object]) -> bool:
    if selector.get("rawSelector"):
        try:
            parse(selector["rawSelector"])
        except ValueError:
            return False
    return all(requirement.get("operator") in _OPERATORS for requirement in selector.get("requirements") or ())


def _wrong_number(path: Object | None) -> FieldError:
    """The error of a review with both attributes or with none."""
    text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
    return FieldError("Invalid", "spec", f"Invalid value: {_shown_path(path)}: {text}")


def _shown_path(path: Object | None) -> str:
    """As upstream prints its internal type, whose fields are in upper case."""
    return show({"Path": path.get("path", ""), "Verb": path.get("verb", "")}) if path is not None else "null"


def _invalid_path(spec: Object) -> FieldError:
    value = _shown_path(spec["nonResourceAttributes"])
    return FieldError("Invalid", "spec.nonResourceAttributes", f"Invalid value: {value}: disallowed on this kind of request")


def _invalid(errors: Sequence[FieldError]) -> StatusError:
    """422 as upstream sends it for reviews: with the group but without the kind."""
    error = invalid(_AUTHORIZATION, "", "", errors)
    if error.details is not None:
        error.details.pop("kind", None)
    return error


def _part(rule: Mapping[str, Any], keys: Sequence[str]) -> Object:
    return {key: list(rule[key]) for key in keys if rule.get(key)}
