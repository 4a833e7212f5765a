"""The life of a process: it starts, serves until it is told to end, and ends in order."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any, Generic, TypeVar

import uvloop

from tenantry.apiserver.authentication.admin_tokens import AdminTokenError
from tenantry.apiserver.authentication.service_account import KeyFileError
from tenantry.apiserver.authentication.shared_authority import shared_authority
from tenantry.apiserver.authentication.static_tokens import TokenFileError
from tenantry.apiserver.endpoints.health import KINDS, Health
from tenantry.apiserver.endpoints.plain import page_not_found
from tenantry.apiserver.request import Request
from tenantry.apiserver.serving import http_server
from tenantry.apiserver.settings import EtcdProcessSettings, ProcessSettings
from tenantry.apiserver.work import SWITCH_SECONDS
from tenantry.base.allocator import free_pages, give_memory_back
from tenantry.base.flags import SettingError
from tenantry.base.garbage import GarbageCollection
from tenantry.base.logs import configure
from tenantry.base.metrics import CONTENT_TYPE, Metrics
from tenantry.base.stalls import Housekeeping, LoopMonitor, Stalls
from tenantry.base.tasks import FATAL, restarting
from tenantry.http.certificates import CertificateAuthority, CertificateError
from tenantry.http.limits import Limits
from tenantry.http.listening import ListenError
from tenantry.http.messages import Reply, Response
from tenantry.http.renewal import Certificates
from tenantry.storage.etcd.store import EtcdStore
from tenantry.storage.store import Store, StoreError

REFUSALS = (
    StoreError,
    ListenError,
    CertificateError,
    TokenFileError,
    AdminTokenError,
    KeyFileError,
    SettingError,
    OSError,
)
"""Errors that stop a start for a reason that the operator can mend; the text says how."""


logger = logging.getLogger(__name__)

FAILED_END_SECONDS = 3.0
"""How long the orderly end of a process may take when an essential part of it failed. Others can take over only when the process
is gone."""
OPEN_FILES = 1 << 20
"""As many as a process can ever use: enough for the highest settings."""

SettingsKind = TypeVar("SettingsKind", bound=ProcessSettings)
EtcdSettingsKind = TypeVar("EtcdSettingsKind", bound=EtcdProcessSettings)


class Process(ABC, Generic[SettingsKind]):
    """A process without its store and its signals. It is made, started, drained and stopped.

    What `start` puts on `_stack` is undone by `stop`, in reverse order.
    """

    def __init__(self, settings: SettingsKind, store: Store, authority: CertificateAuthority) -> None:
        self._settings = settings
        self._store = store
        self._authority = authority
        self._stack = AsyncExitStack()
        self.health = Health()
        self.metrics = Metrics()
        self.stalls = Stalls()
        self.metrics.registry.register(self.stalls)
        self.certificates = Certificates(authority, life_seconds=settings.certificate_life_seconds)
        self.metrics.registry.register(self.certificates)
        self._stack.push_async_callback(self.certificates.stop)
        self.port = self.health_port = 0

    @abstractmethod
    async def start(self) -> None:
        """Returns when it serves. Raises REFUSALS."""

    @property
    @abstractmethod
    def welcome(self) -> str:
        """What is printed then."""

    def monitor(self, housekeeping: Housekeeping) -> LoopMonitor:
        """What measures the loop's stalls."""
        return LoopMonitor(self.stalls, warn_seconds=self._settings.stall_warning_seconds, housekeeping=housekeeping)

    async def drain(self) -> None:
        """What is done before the end and takes its time, such as having others take over."""
        self.health.drain()

    async def stop(self) -> None:
        """Ends watches cleanly, and finishes requests under way. Also undoes a start that was not finished."""
        self.health.drain()
        await self._stack.aclose()

    async def _serve_probes(self, address: str, port: int) -> None:
        """/livez, /readyz and /metrics over plain HTTP; not for a negative port."""
        if port >= 0:
            server = http_server(self._probe, limits=Limits(watches=0))
            self.health_port = await server.start(address, port, "--health-port")
            self._stack.push_async_callback(server.stop)

    async def _probe(self, request: Request) -> Reply:
        request.verb = request.method.lower()
        if request.path == "/metrics":
            return Response(200, self.metrics.text(), CONTENT_TYPE, compressible=True)
        if request.path.strip("/").partition("/")[0] in KINDS:
            return self.health.serve(request, request.path)
        return page_not_found()


Opening = Callable[[AsyncExitStack], Awaitable[Process[SettingsKind]]]
"""Makes the process. What has to outlive it, such as its store, is put on the stack."""


def run_process(settings: SettingsKind, opening: Opening[SettingsKind]) -> int:
    """Serves until SIGINT or SIGTERM; the exit code. 1 also where something failed without which the process must not go on."""
    configure(settings.log_level)
    give_memory_back()
    sys.setswitchinterval(SWITCH_SECONDS)
    _raise_open_files()
    try:
        return uvloop.run(_run(opening))
    except REFUSALS as error:
        print(f"tenantry: {error}", file=sys.stderr)
        return 1


def run_on_etcd(
    settings: EtcdSettingsKind,
    make: Callable[[EtcdSettingsKind, Store, CertificateAuthority], Process[EtcdSettingsKind]],
) -> int:
    """`run_process` of a process on the platform's etcd."""

    async def opening(stack: AsyncExitStack) -> Process[EtcdSettingsKind]:
        store = await EtcdStore.open(settings.etcd())
        stack.push_async_callback(store.close)
        return make(settings, store, await shared_authority(store))

    return run_process(settings, opening)


def _raise_open_files() -> None:
    """To the hard limit: the soft one is often 1,024, for the sake of programs that use select(); each client needs a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # Some systems have a lower limit of the kernel's than they say.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _end_now() -> None:
    logger.critical("the process did not end in order within %g s; it ends now", FAILED_END_SECONDS)
    os._exit(1)


async def _run(opening: Opening[SettingsKind]) -> int:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    code = 0

    def failed(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal code
        if not context.get(FATAL):
            loop.default_exception_handler(context)
            return
        logger.critical("%s; the process ends", context["message"], exc_info=context.get("exception"))
        if not code:
            loop.call_later(FAILED_END_SECONDS, _end_now)
        code = 1
        stopped.set()

    loop.set_exception_handler(failed)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with AsyncExitStack() as stack:
        process = await opening(stack)
        stack.push_async_callback(process.stop)
        starting = asyncio.create_task(process.start(), name="start")
        stopping = asyncio.create_task(stopped.wait(), name="signal")
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            # What the start made lives as long as the process: the collector need not look at it again.
            garbage = GarbageCollection()
            garbage.start()
            stack.callback(garbage.stop)
            growth = restarting(free_pages.follow_growth, name="free pages", ends=True)
            stack.callback(growth.cancel)
            monitor = process.monitor(garbage)
            monitor.start()
            stack.callback(monitor.stop)
            print(process.welcome, flush=True)
            await stopping
        await process.drain()
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
    return code
