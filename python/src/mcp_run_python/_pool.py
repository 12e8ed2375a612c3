"""Several servers as one connection: each run goes to the least busy server, and a server that ends is replaced."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

from ._connection import Connection, SandboxError, Source, background
from .results import ProgramError

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

# The shortest time between two starts of the same server, in seconds.
AGAIN = 1

ENDED = 'the server that ran this has ended, and another takes its place'

ENDED_WITH_SESSION = 'the server that had this session has ended, and with it variables and files'

Open = Callable[[], AbstractAsyncContextManager[Connection]]
"""Starts a server, or connects with one; yields a connection that is ready for runs."""


class Member:
    """A server's place in a pool."""

    def __init__(self, opener: Open) -> None:
        self.open = opener
        self.running = 0
        # None while the server is not running or not connected.
        self.connection: Connection | None = None
        # Why the last attempt to start or reach it failed.
        self.failure: Exception | None = None

    def is_free(self, share: int) -> bool:
        """Whether it can take another run; `share` is how many it runs at once."""
        return self.connection is not None and not self.connection.over.is_set() and self.running < share


class Pool(Connection):
    """A connection with several servers, of which each request uses one."""

    def __init__(self, members: Sequence[Member], share: int, tasks: TaskGroup) -> None:
        super().__init__(tasks, None)
        self._members = members
        self._share = share
        self._changed = anyio.Event()

    async def request(self, method: str, params: dict[str, Any], *, alone: bool = False) -> dict[str, Any]:
        if method == 'resources/read':
            return await self._read(params, alone=alone)
        member, connection = await self._free()
        return await self._ask(member, connection, ENDED, method, params, alone=alone)

    async def _read(self, params: dict[str, Any], *, alone: bool) -> dict[str, Any]:
        """Reads a run's file. Only the server of that run has it, so each server is asked in turn."""
        refusal = SandboxError('no server is left')
        for member in self._members:
            connection = member.connection
            if connection is None or connection.over.is_set():
                continue
            try:
                return await self._ask(member, connection, ENDED, 'resources/read', params, alone=alone)
            except SandboxError as error:
                refusal = error
        raise refusal

    async def interrupt(self) -> bool:
        connections = [member.connection for member in self._members if member.connection]
        # A list, not a generator: all are interrupted, as `any` would stop at the first that had a run.
        return any([await connection.interrupt() for connection in connections if not connection.over.is_set()])

    async def pinned(self) -> Connection:
        """Returns a connection with the server that is least busy now, and with no other."""
        return _Pinned(self, *await self._free())

    async def _free(self) -> tuple[Member, Connection]:
        while True:
            free = [member for member in self._members if member.is_free(self._share)]
            if free:
                least = min(free, key=lambda member: member.running)
                assert least.connection is not None
                return least, least.connection
            failures = [member.failure for member in self._members if member.failure]
            if len(failures) == len(self._members):
                raise SandboxError(f'no server is left, and none can be started: {failures[0]}')
            await self._changed.wait()

    async def _ask(
        self, member: Member, connection: Connection, ended: str, method: str, params: dict[str, Any], *, alone: bool
    ) -> dict[str, Any]:
        member.running += 1
        try:
            return await connection.request(method, params, alone=alone)
        except SandboxError as error:
            if connection.over.is_set():
                raise SandboxError(f'{ended}: {error}') from error
            raise
        finally:
            member.running -= 1
            self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def keep(self, member: Member) -> None:
        """Starts a member's server, and starts another whenever it ends or fails."""
        while True:
            began = anyio.current_time()
            try:
                async with member.open() as connection:
                    member.connection, member.failure = connection, None
                    self._tell()
                    await connection.over.wait()
                    member.connection = None
                    # Lets its pending requests finish before the connection is closed.
                    while member.running:
                        await self._changed.wait()
            except (SandboxError, ProgramError, OSError) as error:
                member.failure = error
            finally:
                member.connection = None
                self._tell()
            await anyio.sleep_until(began + AGAIN)

    async def ready(self, members: Sequence[Member]) -> None:
        """Waits until all of them are connected.

        Raises:
            SandboxError: One cannot be started or reached.
            ProgramError: Its packages cannot be installed.
        """
        while not all(member.connection for member in members):
            for member in members:
                if member.failure:
                    raise member.failure
            await self._changed.wait()


class _Pinned(Connection):
    """A connection with the one server of a pool that has a session."""

    def __init__(self, pool: Pool, member: Member, connection: Connection) -> None:
        super().__init__(pool.tasks, None)
        self._pool = pool
        self._member = member
        self._connection = connection
        self.over = connection.over

    async def request(self, method: str, params: dict[str, Any], *, alone: bool = False) -> dict[str, Any]:
        if self.over.is_set():
            raise SandboxError(ENDED_WITH_SESSION)
        ask = self._pool._ask  # pyright: ignore[reportPrivateUsage]
        return await ask(self._member, self._connection, ENDED_WITH_SESSION, method, params, alone=alone)

    async def upload(self, session: str, path: str, source: Source) -> None:
        await self._connection.upload(session, path, source)

    async def interrupt(self) -> bool:
        return await self._connection.interrupt()


@asynccontextmanager
async def pool(openers: Sequence[Open], share: int) -> AsyncGenerator[Connection, None]:
    """Opens all servers as one connection, and closes them after the body.

    Args:
        openers: The function that opens each server.
        share: How many runs each server takes at once.

    Raises:
        SandboxError: A server cannot be started or reached.
        ProgramError: Its packages cannot be installed.
    """
    members = [Member(opener) for opener in openers]
    async with background() as tasks:
        opened = Pool(members, share, tasks)
        # The first starts alone, so that the others find in the cache what it fetched.
        for some in (members[:1], members[1:]):
            for member in some:
                tasks.start_soon(opened.keep, member)
            await opened.ready(some)
        yield opened
