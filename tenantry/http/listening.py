"""The error of a server that cannot listen on its address."""

from __future__ import annotations

import errno


class ListenError(Exception):
    """The server cannot listen on its address. The text says what to change."""

    @classmethod
    def of(cls, host: str, port: int, flag: str, error: OSError) -> ListenError:
        """The error for an OSError. `flag`: the flag that sets the port."""
        where = f"{host}:{port}"
        if error.errno == errno.EADDRINUSE:
            return cls(f"cannot listen on {where}: another process uses that port; stop it, or choose another port with {flag}")
        if error.errno in (errno.EACCES, errno.EPERM):
            return cls(f"cannot listen on {where}: not permitted; ports below 1024 need privileges, choose another with {flag}")
        return cls(f"cannot listen on {where}: {error.strerror or error}")
