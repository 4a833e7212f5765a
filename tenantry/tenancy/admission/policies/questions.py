"""Answers the questions that expressions ask the authorizer."""

from __future__ import annotations

from tenantry.apiserver.authorization import Attributes, Authorizer
from tenantry.apiserver.user import User, service_account_groups, service_account_name, with_home
from tenantry.kube.schema.cel_library.authorizer import Answer, Question
from tenantry.kube.status import StatusError


def answer(question: Question, authorizer: Authorizer, user: User, cluster: str) -> Answer:
    """What a question is answered in a cluster, for the user of the request or the service account that it names. RBAC does not
    know selectors. May raise Deferred."""
    attributes = _attributes(question, _subject(question, user, cluster), cluster)
    try:
        decision = authorizer.authorize(attributes)
    except StatusError as error:
        return Answer(False, "", error.message)
    return Answer(decision.allowed, decision.reason)


def _subject(question: Question, user: User, cluster: str) -> User:
    if question.service_account is None:
        return user
    namespace, name = question.service_account
    return with_home(User(service_account_name(namespace, name), service_account_groups(namespace)), cluster)


def _attributes(question: Question, user: User, cluster: str) -> Attributes:
    if question.path:
        return Attributes(user, question.verb, cluster, path=question.path)
    return Attributes(
        user,
        question.verb,
        cluster,
        question.group,
        "*",
        question.resource,
        question.subresource,
        question.namespace,
        question.name,
    )
