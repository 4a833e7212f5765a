"""Reads the owner annotation of Workspaces and LogicalClusters: the user who created them, as UserInfo in JSON."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import orjson

from tenantry.tenancy.well_known import OWNER_ANNOTATION

logger = logging.getLogger(__name__)


def owner_user(annotations: Mapping[str, str]) -> dict[str, Any]:
    """The user (username, uid, groups, extra as in UserInfo). Empty if there is no annotation, or if it is invalid."""
    text = annotations.get(OWNER_ANNOTATION)
    if not text:
        return {}
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    name = found.get("username") if isinstance(found, dict) else None
    if not isinstance(name, str) or not name:
        logger.warning("an owner annotation is invalid and ignored", extra={"length_characters": len(text)})
        return {}
    user: dict[str, Any] = {"username": name}
    if isinstance(found.get("uid"), str):
        user["uid"] = found["uid"]
    groups = _texts(found.get("groups"))
    if groups:
        user["groups"] = groups
    extra = found.get("extra")
    if isinstance(extra, dict):
        user["extra"] = {key: _texts(values) for key, values in extra.items()}
    return user


def _texts(values: object) -> list[str]:
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []
