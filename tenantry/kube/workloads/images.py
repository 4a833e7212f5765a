"""Names of container images: `registry.example.com:5000/team/app:1.2@sha256:…`."""

from __future__ import annotations

import re

_CHARACTERS_MAX = 4096
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)(?:\.(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?))*"
_NAME = re.compile(rf"(?:(?:{_HOST}|\[[a-fA-F0-9:]+\])(?::[0-9]+)?/)?{_PART}(?:/{_PART})*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}")


def tag_of(image: str) -> str:
    """The tag of an image: `latest` where it has neither a tag nor a digest, empty where it has a digest alone or is no name of
    an image (Kubernetes' parsers.ParseImageName)."""
    if len(image) > _CHARACTERS_MAX:
        return ""
    tagged, _, digest = image.partition("@")
    path, slash, last = tagged.rpartition("/")
    name, colon, tag = last.partition(":")
    if not _NAME.fullmatch(f"{path}{slash}{name}") or (colon and not _TAG.fullmatch(tag)):
        return ""
    if "@" in image and not _DIGEST.fullmatch(digest):
        return ""
    return tag or ("" if digest else "latest")
