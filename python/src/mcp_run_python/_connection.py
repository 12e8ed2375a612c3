"""A connection to the program: MCP over its stdin and stdout, as far as this library needs it.

The official SDK would do; importing it takes longer than starting the program and running code in it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import ByteReceiveStream, Process
from anyio.streams.buffered import BufferedByteReceiveStream

from ._program import environment

# The era of the protocol in which a connection has an interpreter of its own.
PROTOCOL = '2025-11-25'

# Longest line that is taken, in bytes: results are far below.
MAX_LINE = 64 * 1024 * 1024

# How much of what the program said is kept, in letters, for the case that it fails.
MAX_SAID = 4000

# How long the program may take to end, in seconds.
END_TIME = 5

Log = Callable[[str, str, 'str | None'], None]
"""Takes a message that came while something ran: its level, its text, and its logger, if it is not output."""


class SandboxError(RuntimeError):
    """The sandbox could not be started, has ended, or refused a call."""


class Connection:
    """Requests and their answers."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._sending = anyio.Lock()
        self._ids = 0
        self._waiting: dict[object, _Answer] = {}
        self._said = ''
        self._ended: str | None = None
        self._over = anyio.Event()
        self.log: Log | None = None

    async def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Asks. Whoever is cancelled meanwhile cancels the request.

        Raises:
            SandboxError: It was refused, or the program ended.
        """
        self._ids += 1
        request_id = self._ids
        try:
            return await self._ask({'id': request_id, 'method': method, 'params': params})
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self.notify('notifications/cancelled', {'requestId': request_id})
            raise

    async def interrupt(self) -> bool:
        """Stops the runs that go on: each gives its result. Whether there was one."""
        return bool((await self._ask({'id': 'interrupt', 'method': 'interrupt'}))['interrupted'])

    async def notify(self, method: str, params: dict[str, Any]) -> None:
        """Says something that has no answer."""
        await self._send({'method': method, 'params': params})

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
        if self._ended is not None:
            raise SandboxError(self._ended)
        line = json.dumps({'jsonrpc': '2.0', **message}, separators=(',', ':')) + '\n'
        stdin = self._process.stdin
        assert stdin is not None
        try:
            async with self._sending:
                await stdin.send(line.encode())
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
                self._hear(json.loads(await lines.receive_until(b'\n', MAX_LINE)))
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
            if answer := self._waiting.get(message.get('id')):
                answer.message = message
                answer.came.set()
        elif message['method'] == 'notifications/message' and self.log:
            params = message.get('params', {})
            self.log(params.get('level', 'info'), str(params.get('data')), params.get('logger'))

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
async def connect(command: Sequence[str], log: Log | None = None) -> AsyncIterator[Connection]:
    """Starts the program, and ends it.

    Raises:
        SandboxError: It cannot be started.
    """
    told = {**environment(command[:1]), 'MCP_RUN_PYTHON_LIBRARY': '1'}
    process = await anyio.open_process(command, env=told, start_new_session=True)
    connection = Connection(process)
    connection.log = log
    said = anyio.Event()
    assert process.stderr is not None
    assert process.stdin is not None
    failed: Exception | None = None
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(connection.listen, said)
            tasks.start_soon(connection.listen_to_errors, process.stderr, said)
            client = {'name': 'mcp_run_python', 'version': '0'}
            hello = {'protocolVersion': PROTOCOL, 'capabilities': {}, 'clientInfo': client}
            try:
                await connection.request('initialize', hello)
                await connection.notify('notifications/initialized', {})
                yield connection
            except Exception as error:
                # As it is, and not in a group.
                failed = error
            tasks.cancel_scope.cancel()
        if failed:
            raise failed
    finally:
        with anyio.CancelScope(shield=True):
            await process.stdin.aclose()
            with anyio.move_on_after(END_TIME) as late:
                await process.wait()
            if late.cancelled_caught:
                process.kill()
                await process.wait()
            await process.aclose()
