"""Why a server cannot listen on its address, in words that say what to change."""

from __future__ import annotations

import errno


class ListenError(Exception):
    """The server cannot listen on its address; the text says what to change."""

    @classmethod
    def of(cls, host: str, port: int, flag: str, error: OSError) -> ListenError:
        """`flag`: the setting that names the port."""
        where = f"{host}:{port}"
        if error.errno == errno.EADDRINUSE:
            return cls(f"cannot listen on {where}: another process uses that port; stop it, or choose another port with {flag}")
        if error.errno in (errno.EACCES, errno.EPERM):
            return cls(f"cannot listen on {where}: not permitted; ports below 1024 need privileges, choose another with {flag}")
        return cls(f"cannot listen on {where}: {error.strerror or error}")
