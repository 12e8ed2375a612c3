"""MCP, as far as this library needs it, and over the program's stdin and stdout.

The official SDK would do; importing it takes longer than starting the program and running code in it.
"""

from __future__ import annotations

import dataclasses
import json
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import date, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import IO, Any, Union, cast
from uuid import UUID

import anyio
from anyio.abc import ByteReceiveStream, Process, TaskGroup
from anyio.streams.buffered import BufferedByteReceiveStream

from ._program import environment

# The era of the protocol in which a connection has an interpreter of its own.
PROTOCOL = '2025-11-25'

# That in which a request stands for itself: its run has an interpreter of its own.
PROTOCOL_ALONE = '2026-07-28'

CLIENT = {'name': 'mcp_run_python', 'version': '0'}

HELLO: dict[str, Any] = {'protocolVersion': PROTOCOL, 'capabilities': {}, 'clientInfo': CLIENT}

# Longest message that is taken, in bytes: results are far below.
MAX_MESSAGE = 64 * 1024 * 1024

# How much of what the program said is kept, in letters, for the case that it fails.
MAX_SAID = 4000

# How long the program may take to end, in seconds.
END_TIME = 5

Log = Callable[[str, str, 'str | None'], None]
"""Takes a message that came while something ran: its level, its text, and its logger, if it is not output."""


Source = Union[bytes, 'os.PathLike[str]', IO[bytes]]
"""What is uploaded: bytes, the path of a file, or one that is open for reading bytes."""


class SandboxError(RuntimeError):
    """The sandbox could not be started, has ended, or refused a call."""


def encoded(message: dict[str, Any]) -> bytes:
    """A message as JSON.

    Raises:
        TypeError: A value in it has no form there.
        ValueError: A number in it has none.
    """
    # Text that is no Unicode fails here, and not there.
    return json.dumps(message, separators=(',', ':'), default=_plain, allow_nan=False, ensure_ascii=False).encode()


def _plain(value: object) -> object:
    """What the original's client (pydantic) writes for values that JSON does not have."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (set, frozenset)):
        return list(cast('set[object]', value))
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (Decimal, PurePath, UUID)):
        return str(value)
    if dump := getattr(value, 'model_dump', None):
        return dump(mode='json')
    raise TypeError(f'{type(value).__name__} has no form in JSON')


class CancelledError(SandboxError):
    """A run was stopped, and the server tells nothing of it."""


class Connection(ABC):
    """Requests and their answers."""

    def __init__(self, tasks: TaskGroup, log: Log | None) -> None:
        self.tasks = tasks
        self.log = log
        self._ids = 0

    @abstractmethod
    async def request(self, method: str, params: dict[str, Any], *, alone: bool = False) -> dict[str, Any]:
        """Asks. Whoever is cancelled meanwhile cancels the request.

        Args:
            method: What is asked.
            params: Its parameters.
            alone: Whether a run has an interpreter of its own, and not that of this connection.

        Raises:
            SandboxError: It was refused, or there is no server any longer.
        """

    @abstractmethod
    async def interrupt(self) -> bool:
        """Stops the runs that go on. Whether there was one."""

    async def upload(self, session: str, path: str, source: Source) -> None:
        """Uploads a file to a session, in pieces: it is never held as a whole.

        Raises:
            SandboxError: It was refused, or cannot be done.
        """
        raise SandboxError(
            'files are uploaded to a server at a `url` only: a sandbox on this machine gets them with `files`, '
            'or all of a folder by the setting FILES'
        )

    def _message(self, method: str, params: dict[str, Any], *, alone: bool) -> dict[str, Any]:
        """A request, with an id of its own."""
        self._ids += 1
        if alone:
            prefix = 'io.modelcontextprotocol/'
            about = {'protocolVersion': PROTOCOL_ALONE, 'clientInfo': CLIENT, 'clientCapabilities': {}}
            if self.log:
                about['logLevel'] = 'info'
            meta = {prefix + name: value for name, value in about.items()}
            params = {**params, '_meta': {**params.get('_meta', {}), **meta}}
        return {'jsonrpc': '2.0', 'id': self._ids, 'method': method, 'params': params}

    def _notified(self, message: dict[str, Any]) -> None:
        """Takes a message that is no answer."""
        told = message.get('params')
        if message['method'] == 'notifications/message' and self.log and isinstance(told, dict):
            params = cast('dict[str, Any]', told)
            self.log(str(params.get('level', 'info')), str(params.get('data')), params.get('logger'))


class LocalConnection(Connection):
    """With the program that this library started."""

    def __init__(self, process: Process, tasks: TaskGroup, log: Log | None) -> None:
        super().__init__(tasks, log)
        self._process = process
        self._sending = anyio.Lock()
        self._waiting: dict[object, _Answer] = {}
        self._said = ''
        self._ended: str | None = None
        self._over = anyio.Event()

    async def request(self, method: str, params: dict[str, Any], *, alone: bool = False) -> dict[str, Any]:
        message = self._message(method, params, alone=alone)
        try:
            return await self._ask(message)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self.notify('notifications/cancelled', {'requestId': message['id']})
            raise

    async def interrupt(self) -> bool:
        """Stops the runs that go on: each gives its result. Whether there was one."""
        return bool((await self._ask({'jsonrpc': '2.0', 'id': 'interrupt', 'method': 'interrupt'}))['interrupted'])

    async def notify(self, method: str, params: dict[str, Any]) -> None:
        """Says something that has no answer."""
        await self._send({'jsonrpc': '2.0', 'method': method, 'params': params})

    async def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        answer = self._waiting[message['id']] = _Answer()
        try:
            await self._send(message)
            await answer.came.wait()
        finally:
            self._waiting.pop(message['id'], None)
        if answer.message is None:
            raise SandboxError(self._ended or 'the sandbox has ended')
        if error := answer.message.get('error'):
            raise SandboxError(error['message'])
        result: dict[str, Any] = answer.message['result']
        return result

    async def _send(self, message: dict[str, Any]) -> None:
        line = encoded(message) + b'\n'
        if self._ended is not None:
            raise SandboxError(self._ended)
        stdin = self._process.stdin
        assert stdin is not None
        try:
            async with self._sending:
                await stdin.send(line)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            # What it said before is known once its end is heard.
            await self._over.wait()
            raise SandboxError(self._ended or 'the sandbox has ended') from None

    async def listen(self, said: anyio.Event) -> None:
        """Hears the program until it ends. `said`: set once all is heard that it said on stderr."""
        assert self._process.stdout is not None
        lines = BufferedByteReceiveStream(self._process.stdout)
        try:
            while True:
                self._hear(json.loads(await lines.receive_until(b'\n', MAX_MESSAGE)))
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.ClosedResourceError, anyio.BrokenResourceError):
            pass
        with anyio.move_on_after(END_TIME):
            await said.wait()
        _, _, why = self._said.rpartition('error: ')
        self._ended = why.strip() or 'the sandbox has ended'
        self._over.set()
        for answer in self._waiting.values():
            answer.came.set()

    def _hear(self, message: dict[str, Any]) -> None:
        if 'method' not in message:
            # What could not be read has no id: whoever waits may have sent it.
            whose = message.get('id')
            answers = list(self._waiting.values()) if whose is None else [self._waiting.get(whose)]
            for answer in filter(None, answers):
                answer.message = message
                answer.came.set()
        else:
            self._notified(message)

    async def listen_to_errors(self, stderr: ByteReceiveStream, said: anyio.Event) -> None:
        """Keeps the end of what the program says besides, and tells it as it comes."""
        rest = ''
        try:
            async for chunk in stderr:
                text = chunk.decode(errors='replace')
                self._said = (self._said + text)[-MAX_SAID:]
                *lines, rest = (rest + text).split('\n')
                for line in lines:
                    if self.log and line:
                        self.log('info', line, 'mcp-run-python')
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            pass
        finally:
            said.set()


class _Answer:
    """What somebody waits for."""

    def __init__(self) -> None:
        self.came = anyio.Event()
        self.message: dict[str, Any] | None = None


@asynccontextmanager
async def background() -> AsyncGenerator[TaskGroup, None]:
    """Tasks that end with the body. Its error is raised as it is, and not in a group."""
    failed: Exception | None = None
    async with anyio.create_task_group() as tasks:
        try:
            yield tasks
        except Exception as error:
            failed = error
        tasks.cancel_scope.cancel()
    if failed:
        raise failed


@asynccontextmanager
async def start(command: Sequence[str], log: Log | None = None) -> AsyncGenerator[Connection, None]:
    """Starts the program, and ends it.

    Raises:
        SandboxError: It cannot be started.
    """
    told = {**environment(command[:1]), 'MCP_RUN_PYTHON_LIBRARY': '1'}
    process = await anyio.open_process(command, env=told, start_new_session=True)
    said = anyio.Event()
    assert process.stderr is not None
    assert process.stdin is not None
    try:
        async with background() as tasks:
            connection = LocalConnection(process, tasks, log)
            tasks.start_soon(connection.listen, said)
            tasks.start_soon(connection.listen_to_errors, process.stderr, said)
            await connection.request('initialize', HELLO)
            await connection.notify('notifications/initialized', {})
            yield connection
    finally:
        with anyio.CancelScope(shield=True):
            await process.stdin.aclose()
            with anyio.move_on_after(END_TIME) as late:
                await process.wait()
            if late.cancelled_caught:
                process.kill()
                await process.wait()
            await process.aclose()
