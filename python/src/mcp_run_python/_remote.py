"""A connection with a server that runs elsewhere: MCP over streamable HTTP."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import quote

import anyio
import anyio.to_thread

from ._connection import (
    END_TIME,
    HELLO,
    MAX_MESSAGE,
    PROTOCOL_ALONE,
    CancelledError,
    Connection,
    Log,
    SandboxError,
    Source,
    background,
    encoded,
)
from .results import TOOL

if TYPE_CHECKING:
    import httpx
    from anyio.abc import TaskGroup

# The timeout of connecting and of sending, in seconds. Reading has none: the server's own limits end runs.
REACH_TIME = 30

# How much of a file is read at once, in bytes.
PIECE = 256 * 1024

# How much of a server's answer is quoted in an error, in bytes.
MAX_TOLD = 300

TOO_LONG = f'the server said more than {MAX_MESSAGE} bytes at once'

_Json = dict[str, Any]


class RemoteConnection(Connection):
    """A connection with a server elsewhere. Its answers are trusted no more than a sandbox's output."""

    def __init__(self, client: httpx.AsyncClient, url: str, tasks: TaskGroup, log: Log | None) -> None:
        super().__init__(tasks, log)
        self._client = client
        self._url = url
        self._session: dict[str, str] = {}
        self._runs: dict[int, anyio.CancelScope] = {}

    async def hello(self) -> None:
        """Opens the MCP session, and checks that the server has our tool.

        Raises:
            SandboxError: It is not an MCP server, or has no such tool.
        """
        answer = await self.request('initialize', HELLO)
        if not isinstance(answer.get('protocolVersion'), str):
            raise self._no_server('its answer has no version of the protocol')
        self._session['mcp-protocol-version'] = answer['protocolVersion']
        await self._notify('notifications/initialized', {})
        tools: object = (await self.request('tools/list', {})).get('tools')
        if not isinstance(tools, list) or not any(_name(tool) == TOOL for tool in cast('list[object]', tools)):
            raise SandboxError(f'the MCP server at {self._url} has no tool {TOOL}')

    async def request(self, method: str, params: _Json, *, alone: bool = False) -> _Json:
        message = self._message(method, params, alone=alone)
        headers = self._session
        if alone:
            headers = {
                'mcp-protocol-version': PROTOCOL_ALONE,
                'mcp-method': method,
                'mcp-name': str(params.get('name', params.get('uri', ''))),
            }
        scope = anyio.CancelScope()
        if method == 'tools/call':
            self._runs[message['id']] = scope
        try:
            with scope:
                return await self._ask(message, headers)
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(END_TIME, shield=True):
                await self._cancel(message['id'])
            raise
        finally:
            self._runs.pop(message['id'], None)
        raise CancelledError('the run was cancelled')

    async def interrupt(self) -> bool:
        runs = list(self._runs.items())
        for request_id, scope in runs:
            # First, as the server may end its response without a result, which would raise another error.
            scope.cancel()
            await self._cancel(request_id)
        return bool(runs)

    async def upload(self, session: str, path: str, source: Source) -> None:
        import httpx

        # `/files/` is a sibling of the MCP address.
        url = f'{self._url.rpartition("/")[0]}/files/{quote(session, safe="")}/{quote(path, safe="")}'
        headers = {'content-type': 'application/octet-stream'}
        try:
            async with (
                _opened(source) as content,
                self._client.stream('PUT', url, content=content, headers=headers) as response,
            ):
                if response.is_success:
                    return
                said = await _body(response)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SandboxError(f'{url} cannot be reached: {error or type(error).__name__}') from error
        why: object = None
        with suppress(ValueError, RecursionError, AttributeError):
            why = json.loads(said).get('error')
        raise SandboxError(f'{path} was not uploaded: {why if isinstance(why, str) else _short(said)}')

    async def close(self) -> None:
        """Ends the MCP session."""
        if 'mcp-session-id' in self._session:
            import httpx

            with anyio.move_on_after(END_TIME, shield=True):
                # A session that cannot be ended now expires once it is idle.
                with suppress(httpx.HTTPError):
                    await self._client.delete(self._url, headers=self._session)

    async def _cancel(self, request_id: int) -> None:
        # Errors are ignored: the server also ends a run whose response is closed.
        with suppress(SandboxError):
            await self._notify('notifications/cancelled', {'requestId': request_id})

    async def _notify(self, method: str, params: _Json) -> None:
        async for _ in self._post({'jsonrpc': '2.0', 'method': method, 'params': params}, self._session):
            pass

    async def _ask(self, message: _Json, headers: dict[str, str]) -> _Json:
        async with aclosing(self._post(message, headers)) as texts:
            async for text in texts:
                heard = self._read(text)
                if isinstance(heard.get('method'), str):
                    self._notified(heard)
                elif heard.get('id') == message['id']:
                    error, result = heard.get('error'), heard.get('result')
                    if isinstance(error, dict):
                        raise SandboxError(str(cast(_Json, error).get('message')))
                    if isinstance(result, dict):
                        return cast(_Json, result)
                    raise self._no_server(f'it said {_short(text)}')
        raise SandboxError(f'{self._url} ended its response before the answer')

    def _read(self, text: bytes) -> _Json:
        try:
            said: object = json.loads(text)
        except (ValueError, RecursionError):
            said = None
        if isinstance(said, dict):
            return cast(_Json, said)
        raise self._no_server(f'it said {_short(text)}')

    async def _post(self, message: _Json, headers: dict[str, str]) -> AsyncGenerator[bytes, None]:
        """Sends a message and yields the JSON texts of the messages that come back."""
        import httpx

        try:
            async with self._client.stream('POST', self._url, content=encoded(message), headers=headers) as response:
                if not response.is_success:
                    raise await self._refused(response)
                if session := response.headers.get('mcp-session-id'):
                    self._session.setdefault('mcp-session-id', session)
                kind = response.headers.get('content-type', '').partition(';')[0].strip().lower()
                if kind == 'text/event-stream':
                    async with aclosing(_events(response)) as events:
                        async for event in events:
                            yield event
                elif kind == 'application/json':
                    yield await _body(response)
                elif response.status_code not in (202, 204):
                    raise self._no_server(f'it answers with {kind or "nothing"}')
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            self.over.set()
            raise SandboxError(f'{self._url} cannot be reached: {error or type(error).__name__}') from error

    async def _refused(self, response: httpx.Response) -> SandboxError:
        status = response.status_code
        said = _short(await _body(response))
        if status >= 500 or (status == 404 and 'mcp-session-id' in self._session):
            self.over.set()
        if status == 401:
            token = 'authorization' in self._client.headers
            return SandboxError(f'{self._url} {"refuses the token" if token else "wants a token"}: {said}')
        if status == 404 and 'mcp-session-id' in self._session:
            return SandboxError(f'the session at {self._url} has ended')
        if status in (404, 405):
            return self._no_server(f'it answers {status}')
        return SandboxError(f'{self._url} answers {status}: {said}')

    def _no_server(self, why: str) -> SandboxError:
        return SandboxError(f'{self._url} is no MCP server: {why}')


@asynccontextmanager
async def connect(url: str, token: str | None, log: Log | None = None) -> AsyncGenerator[Connection, None]:
    """Opens an MCP session, and ends it after the body.

    Raises:
        SandboxError: No server can be reached, or it refuses; or httpx is not installed.
    """
    try:
        import httpx
    except ImportError:
        raise SandboxError("`url=` needs httpx: pip install 'mcp-python-sandbox[remote]'") from None

    headers = {'accept': 'application/json, text/event-stream', 'content-type': 'application/json'}
    if token is not None:
        headers['authorization'] = f'Bearer {token}'
    timeout = httpx.Timeout(REACH_TIME, read=None, pool=None)
    async with httpx.AsyncClient(headers=headers, timeout=timeout) as client, background() as tasks:
        connection = RemoteConnection(client, url, tasks, log)
        try:
            await connection.hello()
            yield connection
        finally:
            await connection.close()


@asynccontextmanager
async def _opened(source: Source) -> AsyncGenerator[AsyncIterator[bytes] | bytes, None]:
    """Opens the source of an upload: its bytes, or an iterator over its pieces."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        yield bytes(source)
    elif isinstance(source, os.PathLike):
        async with await anyio.open_file(source, 'rb') as file:
            yield _pieces(file.wrapped)
    else:
        yield _pieces(source)


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    # Read in a thread, so that a slow disk does not block the event loop.
    while piece := await anyio.to_thread.run_sync(file.read, PIECE):
        yield piece


async def _body(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_MESSAGE:
            raise SandboxError(TOO_LONG)
    return bytes(body)


async def _lines(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    rest = bytearray()
    async with aclosing(cast('AsyncGenerator[bytes, None]', response.aiter_bytes())) as chunks:
        async for chunk in chunks:
            *lines, last = chunk.split(b'\n')
            for line in lines:
                rest += line
                yield bytes(rest).removesuffix(b'\r')
                rest.clear()
            rest += last
            if len(rest) > MAX_MESSAGE:
                raise SandboxError(TOO_LONG)
    if rest:
        yield bytes(rest)


async def _events(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """Yields the data of each event of an event stream."""
    data: list[bytes] = []
    size = 0
    async with aclosing(_lines(response)) as lines:
        async for line in lines:
            if line.startswith(b'data:'):
                data.append(line[5:].removeprefix(b' '))
                size += len(line)
                if size > MAX_MESSAGE:
                    raise SandboxError(TOO_LONG)
            elif not line:
                # An event without data only carries an id.
                if any(data):
                    yield b'\n'.join(data)
                data, size = [], 0


def _name(tool: object) -> object:
    return cast(_Json, tool).get('name') if isinstance(tool, dict) else None


def _short(text: bytes) -> str:
    return ascii(text[:MAX_TOLD].decode(errors='replace'))
