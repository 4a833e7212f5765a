"""The life cycle of a process: start, serve until a signal, drain, stop."""

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
from tenantry.apiserver.authentication.service_account_tokens import KeyFileError
from tenantry.apiserver.authentication.shared_authority import shared_authority
from tenantry.apiserver.authentication.static_tokens import TokenFileError
from tenantry.apiserver.endpoints.health import KINDS, Health
from tenantry.apiserver.endpoints.plain import page_not_found
from tenantry.apiserver.request import Request
from tenantry.apiserver.serving import http_server
from tenantry.apiserver.settings import EtcdProcessSettings, ProcessSettings
from tenantry.apiserver.worker_threads import SWITCH_SECONDS
from tenantry.base.allocator import free_pages, give_memory_back
from tenantry.base.flags import SettingError
from tenantry.base.garbage import GarbageCollection
from tenantry.base.logs import configure
from tenantry.base.metrics import CONTENT_TYPE, Metrics
from tenantry.base.stalls import Housekeeping, LoopMonitor, Stalls
from tenantry.base.tasks import FATAL, awaited, restarting
from tenantry.http.calls import Calls
from tenantry.http.certificates import CertificateAuthority, CertificateError
from tenantry.http.limits import Limits
from tenantry.http.listening import ListenError
from tenantry.http.messages import Reply, Response
from tenantry.http.renewal import Certificates
from tenantry.storage.etcd.store import EtcdStore
from tenantry.storage.store import Store, StoreError

STARTUP_ERRORS = (
    StoreError,
    ListenError,
    CertificateError,
    TokenFileError,
    AdminTokenError,
    KeyFileError,
    SettingError,
    OSError,
)
"""Errors at the start that the operator can fix; the text says how."""


logger = logging.getLogger(__name__)

FAILED_END_SECONDS = 3.0
"""How long draining and stopping may take after an essential task failed. Other processes can take over only when this one has
ended."""
OPEN_FILES = 1 << 20
"""As many open files as the highest settings need."""

SettingsKind = TypeVar("SettingsKind", bound=ProcessSettings)
EtcdSettingsKind = TypeVar("EtcdSettingsKind", bound=EtcdProcessSettings)


class Process(ABC, Generic[SettingsKind]):
    """A process, without its store and its signal handling. It is constructed, started, drained and stopped.

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
        self.calls = Calls()
        self._stack.push_async_callback(self.calls.close)
        self.port = self.health_port = 0

    @abstractmethod
    async def start(self) -> None:
        """Returns when the process serves. Raises STARTUP_ERRORS."""

    @property
    @abstractmethod
    def startup_message(self) -> str:
        """The text that is printed after the start."""

    def monitor(self, housekeeping: Housekeeping) -> LoopMonitor:
        """Measures how long the event loop is blocked."""
        return LoopMonitor(self.stalls, warn_seconds=self._settings.stall_warning_seconds, housekeeping=housekeeping)

    async def drain(self) -> None:
        """What is done before `stop` and may take time, such as moving ranges to other shards."""
        self.health.drain()

    async def stop(self) -> None:
        """Ends watches cleanly and finishes requests that are being served. Also undoes a start that failed halfway."""
        self.health.drain()
        await self._stack.aclose()

    async def _serve_probes(self, address: str, port: int) -> None:
        """Serves /livez, /readyz and /metrics over plain HTTP. A negative port turns this off."""
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
"""Makes the process. Resources that must outlive it, such as its store, are put on the stack."""


def run_process(settings: SettingsKind, opening: Opening[SettingsKind]) -> int:
    """Runs the process until SIGINT or SIGTERM. Returns the exit code: 1 where the start failed, or where an essential task
    failed."""
    configure(settings.log_level)
    give_memory_back()
    sys.setswitchinterval(SWITCH_SECONDS)
    _raise_open_files()
    try:
        return uvloop.run(_run(opening))
    except STARTUP_ERRORS as error:
        print(f"tenantry: {error}", file=sys.stderr)
        return 1


def run_on_etcd(
    settings: EtcdSettingsKind,
    make: Callable[[EtcdSettingsKind, Store, CertificateAuthority], Process[EtcdSettingsKind]],
) -> int:
    """`run_process` for a process that uses the platform's etcd."""

    async def opening(stack: AsyncExitStack) -> Process[EtcdSettingsKind]:
        store = await EtcdStore.open(settings.etcd())
        stack.push_async_callback(store.close)
        return make(settings, store, await shared_authority(store))

    return run_process(settings, opening)


def _raise_open_files() -> None:
    """Raises the soft limit of open files to the hard limit. The soft limit is often 1,024, for programs that use select(); each
    client needs a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # On some systems the kernel's limit is lower than the reported hard limit.
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
        starting = awaited(process.start(), name="start")
        stopping = awaited(stopped.wait(), name="signal")
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            # Objects made so far live as long as the process, so the garbage collector can skip them.
            garbage = GarbageCollection()
            garbage.start()
            stack.callback(garbage.stop)
            growth = restarting(free_pages.follow_growth, name="free pages", ends=True)
            stack.callback(growth.cancel)
            monitor = process.monitor(garbage)
            monitor.start()
            stack.callback(monitor.stop)
            print(process.startup_message, flush=True)
            await stopping
        await process.drain()
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
    return code
