"""The part of MCP that this library needs, and its transport over the program's stdin and stdout.

Not the official SDK: importing that takes longer than starting the program and running code in it.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from enum import Enum
from pathlib import PurePath
from typing import IO, Any, Union, cast

import anyio
from anyio.abc import ByteReceiveStream, Process, TaskGroup
from anyio.streams.buffered import BufferedByteReceiveStream

from ._program import environment

# The protocol version in which a connection has an interpreter of its own.
PROTOCOL = '2025-11-25'

# The stateless protocol version: each run has an interpreter of its own.
PROTOCOL_ALONE = '2026-07-28'

CLIENT = {'name': 'mcp_run_python', 'version': '0'}

HELLO: dict[str, Any] = {'protocolVersion': PROTOCOL, 'capabilities': {}, 'clientInfo': CLIENT}

# The longest message that is accepted, in bytes; results are far smaller.
MAX_MESSAGE = 64 * 1024 * 1024

# How much of the end of the program's stderr is kept for error messages, in characters.
MAX_SAID = 4000

# How long to wait for the program, a session or a cancelled run to end, in seconds.
END_TIME = 5

Log = Callable[[str, str, 'str | None'], None]
"""Called with each log message: its level, its text, and its logger, which is None for a run's own output."""


Source = Union[bytes, 'os.PathLike[str]', IO[bytes]]
"""Content to upload: bytes, the path of a local file, or a file object opened in binary mode."""


class SandboxError(RuntimeError):
    """The sandbox could not be started or reached, has ended, or refused a call."""


def encoded(message: dict[str, Any]) -> bytes:
    """Returns the message as UTF-8 JSON.

    Raises:
        TypeError: A value cannot be written as JSON.
        ValueError: A number is not finite, or text or bytes are not valid Unicode.
    """
    # `ensure_ascii=False`: lone surrogates fail to encode here, not in the server.
    return json.dumps(message, separators=(',', ':'), default=_plain, allow_nan=False, ensure_ascii=False).encode()


def _plain(value: object) -> object:
    """Converts a value that JSON does not have to what the original's client (pydantic) writes for it."""
    # Imported here because few programs pass such values.
    import dataclasses
    from datetime import date, time
    from decimal import Decimal
    from uuid import UUID

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
    """A run was cancelled and the server sent no result for it."""


class Connection(ABC):
    """A connection with a server: sends requests and waits for their answers."""

    def __init__(self, tasks: TaskGroup, log: Log | None) -> None:
        self.tasks = tasks
        self.log = log
        # Set once the server has ended or cannot be reached.
        self.over = anyio.Event()
        self._ids = 0

    @abstractmethod
    async def request(self, method: str, params: dict[str, Any], *, alone: bool = False) -> dict[str, Any]:
        """Sends a request and returns its result. If the caller is cancelled, so is the request.

        Args:
            method: The method of MCP.
            params: Its parameters.
            alone: Whether a run has an interpreter of its own instead of this connection's.

        Raises:
            SandboxError: The request was refused, or the server has ended.
        """

    @abstractmethod
    async def interrupt(self) -> bool:
        """Stops all current runs; returns whether there were any."""

    async def upload(self, session: str, path: str, source: Source) -> None:
        """Uploads a file to a session in pieces, so that the whole file is never in memory.

        Raises:
            SandboxError: The upload was refused, or this connection has no uploads.
        """
        raise SandboxError(
            'files are uploaded to a server at a `url` only: a sandbox on this machine gets them with `files`, '
            'or all of a folder by the setting FILES'
        )

    def _message(self, method: str, params: dict[str, Any], *, alone: bool) -> dict[str, Any]:
        """Builds a request with a fresh id."""
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
        """Handles a notification, or another message that is not an answer."""
        told = message.get('params')
        if message['method'] == 'notifications/message' and self.log and isinstance(told, dict):
            params = cast('dict[str, Any]', told)
            self.log(str(params.get('level', 'info')), str(params.get('data')), params.get('logger'))


class LocalConnection(Connection):
    """A connection with a program that this library started."""

    def __init__(self, process: Process, tasks: TaskGroup, log: Log | None) -> None:
        super().__init__(tasks, log)
        self._process = process
        self._sending = anyio.Lock()
        self._waiting: dict[object, _Answer] = {}
        self._said = ''
        self._ended: str | None = None

    async def request(self, method: str, params: dict[str, Any], *, alone: bool = False) -> dict[str, Any]:
        message = self._message(method, params, alone=alone)
        try:
            return await self._ask(message)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True), suppress(SandboxError):
                await self.notify('notifications/cancelled', {'requestId': message['id']})
            raise

    async def interrupt(self) -> bool:
        """Stops all current runs, each of which still returns a result; returns whether there were any."""
        return bool((await self._ask({'jsonrpc': '2.0', 'id': 'interrupt', 'method': 'interrupt'}))['interrupted'])

    async def notify(self, method: str, params: dict[str, Any]) -> None:
        """Sends a notification, which has no answer."""
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
            # `listen` sets `_ended` to the program's last error before it sets `over`.
            await self.over.wait()
            raise SandboxError(self._ended or 'the sandbox has ended') from None

    async def listen(self, said: anyio.Event, ending: anyio.Event) -> None:
        """Reads the program's messages until it ends.

        `said` is set once its stderr has been read to the end, and this sets `ending` once its stdout has been.
        """
        assert self._process.stdout is not None
        lines = BufferedByteReceiveStream(self._process.stdout)
        try:
            try:
                while True:
                    self._hear(json.loads(await lines.receive_until(b'\n', MAX_MESSAGE)))
            except (anyio.EndOfStream, anyio.IncompleteRead, anyio.ClosedResourceError, anyio.BrokenResourceError):
                ending.set()
            with anyio.move_on_after(END_TIME):
                await said.wait()
        finally:
            # Wakes all waiting requests, also if this task is cancelled.
            _, _, why = self._said.rpartition('error: ')
            self._ended = why.strip() or 'the sandbox has ended'
            self.over.set()
            for answer in self._waiting.values():
                answer.came.set()

    def _hear(self, message: dict[str, Any]) -> None:
        if 'method' not in message:
            # The answer to a request that could not be parsed has no id: it may be for any waiting request.
            whose = message.get('id')
            answers = list(self._waiting.values()) if whose is None else [self._waiting.get(whose)]
            for answer in filter(None, answers):
                answer.message = message
                answer.came.set()
        else:
            self._notified(message)

    async def listen_to_errors(self, stderr: ByteReceiveStream, said: anyio.Event) -> None:
        """Passes the lines of the program's stderr to `log`, and keeps the end of it for errors."""
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
    """The pending answer to a request."""

    def __init__(self) -> None:
        self.came = anyio.Event()
        self.message: dict[str, Any] | None = None


@asynccontextmanager
async def background() -> AsyncGenerator[TaskGroup, None]:
    """A task group, cancelled when the body ends. The body's error is raised as it is, not in an `ExceptionGroup`."""
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
    """Starts the program, and ends it after the body.

    Raises:
        SandboxError: The program cannot be started.
    """
    told = {**environment(command[:1]), 'MCP_RUN_PYTHON_LIBRARY': '1'}
    process = await anyio.open_process(command, env=told, start_new_session=True)
    said, ending = anyio.Event(), anyio.Event()
    assert process.stderr is not None
    assert process.stdin is not None
    try:
        async with background() as tasks:
            connection = LocalConnection(process, tasks, log)
            tasks.start_soon(connection.listen, said, ending)
            tasks.start_soon(connection.listen_to_errors, process.stderr, said)
            await connection.request('initialize', HELLO)
            await connection.notify('notifications/initialized', {})
            yield connection
    finally:
        with anyio.CancelScope(shield=True):
            await process.stdin.aclose()
            # Terminated at once: nobody waits for the results of current runs. Not if it is ending by itself:
            # before Python 3.12, asyncio warns of a process that ends before it is sent a signal, as of an unknown one.
            if not ending.is_set():
                with suppress(ProcessLookupError):
                    process.terminate()
            with anyio.move_on_after(END_TIME) as late:
                await process.wait()
            if late.cancelled_caught:
                process.kill()
                await process.wait()
            await process.aclose()
