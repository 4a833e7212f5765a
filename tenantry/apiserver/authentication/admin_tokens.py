"""The two administrators of a fresh installation, as in kcp.

`shard-admin` (group system:masters) keeps its token over restarts. Only admin.kubeconfig has the token; the data directory has
its hash, so a stolen directory without the kubeconfig gives no access. `kcp-admin` (group system:kcp:admin) gets a new token at
every start.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from dataclasses import dataclass
from pathlib import Path

import yaml

from tenantry.apiserver.user import KCP_ADMIN_GROUP, MASTERS_GROUP, User
from tenantry.base.files import write_private

KCP_ADMIN = "kcp-admin"
SHARD_ADMIN = "shard-admin"
HASH_FILE = ".admin-token-store"


class AdminTokenError(Exception):
    """The stored hash and the token in the kubeconfig do not match."""


@dataclass(frozen=True, slots=True)
class AdminTokens:
    kcp_admin: str
    shard_admin: str

    def users(self) -> dict[str, User]:
        """Token → user, for StaticTokens."""
        return {
            self.kcp_admin: User(KCP_ADMIN, (KCP_ADMIN_GROUP,)),
            self.shard_admin: User(SHARD_ADMIN, (MASTERS_GROUP,)),
        }


def prepare(root_directory: Path, kubeconfig: Path) -> AdminTokens:
    """The tokens for this start. The first start writes the hash. The caller writes the tokens to `kubeconfig` afterwards.

    Raises AdminTokenError where the hash exists and the kubeconfig has no matching token.
    """
    store = root_directory / HASH_FILE
    token = read_kubeconfig_token(kubeconfig, SHARD_ADMIN)
    if store.exists():
        if token is None or not hmac.compare_digest(hashlib.sha256(token.encode()).digest(), store.read_bytes()):
            raise AdminTokenError(
                f"{kubeconfig} has no token of {SHARD_ADMIN} that fits the hash in {store}: put the kubeconfig back, "
                f"or remove {store} to have a new token made"
            )
    else:
        token = str(uuid.uuid4())
        write_private(store, hashlib.sha256(token.encode()).digest())
    return AdminTokens(str(uuid.uuid4()), token)


def read_kubeconfig_token(kubeconfig: Path, user: str) -> str | None:
    """The token of a user in a kubeconfig. None where the file or the user does not exist, or the file cannot be parsed."""
    try:
        document = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
    entries = document.get("users") if isinstance(document, dict) else None
    for entry in entries or ():
        if isinstance(entry, dict) and entry.get("name") == user:
            token = (entry.get("user") or {}).get("token")
            return token if isinstance(token, str) and token else None
    return None
