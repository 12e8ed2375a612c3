"""A sandbox for programs that somebody else wrote, in a few lines."""

from __future__ import annotations

import base64
import sys
import warnings
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import anyio
from anyio.from_thread import start_blocking_portal

from . import results
from ._connection import END_TIME, CancelledError, Connection, SandboxError, Source, start
from ._program import arguments, program
from .results import END_TOOL, TOOL, File, Output, Result, RunError, RunSuccess

if sys.version_info >= (3, 11):
    from typing import Unpack
else:
    from typing_extensions import Unpack

if TYPE_CHECKING:
    from ._sync import SyncCodeSandbox

LoggingLevel = Literal['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency']
LogHandler = Callable[[LoggingLevel, str], None]

Files = Mapping[str, 'str | bytes']
"""Files that a program gets: their content, as text or bytes, by their paths, which are relative to its folder."""

NETWORK = 'Python in this sandbox has no network: allow_networking=True changes nothing'

# As many as a server takes of one client at once, unless it is told otherwise.
MAX_PARALLEL = 32

# Lines of output as log messages each second: all that a run may write.
ALL_LINES = 1_000_000


class CodeSandbox:
    """A sandbox. Its programs run one after the other, unless it is parallel."""

    def __init__(self, connection: Connection, *, persistent: bool = False, parallel: int | None = None) -> None:
        """Takes a connection; `code_sandbox()` makes one."""
        self.persistent = persistent
        self._connection = connection
        self._alone = parallel is not None
        self._turns = anyio.Semaphore(parallel or 1)
        self._session: str | None = None
        self._listener: Callable[[Output], None] | None = None

    async def eval(self, code: str, globals: Mapping[str, Any] | None = None) -> RunSuccess | RunError:
        """Runs a program, and gives its result as a dictionary, as the original does.

        Args:
            code: The program.
            globals: Variables that it has: anything that JSON has.

        Raises:
            SandboxError: It was not run: the sandbox has ended, or refused the arguments.
        """
        return (await self.run(code, globals)).as_dict()

    async def run(self, code: str, globals: Mapping[str, Any] | None = None, *, files: Files | None = None) -> Result:
        """Runs a program. Whoever is cancelled meanwhile stops it.

        Args:
            code: The program.
            globals: Variables that it has: anything that JSON has.
            files: Files that it gets.

        Raises:
            SandboxError: It was not run: the sandbox has ended, or refused the arguments.
        """
        async with self._turns:
            return await self._run(code, globals, files)

    async def stream(
        self, code: str, globals: Mapping[str, Any] | None = None, *, files: Files | None = None
    ) -> AsyncGenerator[Output | Result, None]:
        """Runs a program; gives its lines as it writes them, and its result at last. Whoever stops listening stops it.

        Of a parallel sandbox, and of a server without sessions, all lines come at the end.
        """
        send, receive = anyio.create_memory_object_stream['Output | Result | Exception'](float('inf'))
        scope = anyio.CancelScope()

        async def going() -> None:
            heard = False

            def hear(line: Output) -> None:
                nonlocal heard
                heard = True
                send.send_nowait(line)

            with scope:
                try:
                    async with self._turns:
                        self._listener = None if self._alone else hear
                        try:
                            result = await self._run(code, globals, files)
                        finally:
                            self._listener = None
                    for line in () if heard else result.output:
                        send.send_nowait(Output('stdout', line))
                    send.send_nowait(result)
                except anyio.BrokenResourceError:
                    pass  # Nobody listens any longer.
                except Exception as error:
                    send.send_nowait(error)
            send.close()

        # A task of the sandbox, and not of whoever listens, who may stop anywhere.
        self._connection.tasks.start_soon(going)
        try:
            async for event in receive:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            scope.cancel()
            receive.close()

    async def read(self, file: File) -> bytes:
        """All bytes of a file of a result, however large.

        Raises:
            SandboxError: They are no longer there: a later run changed the file, say, or a quarter of an hour is over.
        """
        if file.content is not None:
            return file.content
        if file.uri is None:
            raise SandboxError(f'the bytes of {file.path!r} are nowhere')
        content = bytearray()
        while len(content) < file.size:
            params = {'uri': file.uri, '_meta': {'mcp-run-python/at': len(content)}}
            answer = await self._connection.request('resources/read', params, alone=self._alone)
            try:
                part, size = results.piece(answer)
            except ValueError as error:
                raise SandboxError(str(error)) from error
            content += part
            if size != file.size or not part or len(content) > size:
                raise SandboxError(f'{file.path!r} was changed')
        return bytes(content)

    async def upload(self, path: str, source: Source) -> None:
        """Uploads a file, which may be large, to the session of a persistent sandbox at a `url`: it is sent in pieces.

        Args:
            path: Where it goes, relative to the folder of programs.
            source: Its bytes, the path of a file on this machine, or one that is open for reading bytes.

        Raises:
            SandboxError: It was refused; or the sandbox is on this machine, where files are given with `files`.
            ValueError: The sandbox is not persistent: no session keeps the file.
        """
        if not self.persistent:
            raise ValueError('only a `persistent` sandbox keeps files from one program to the next')
        async with self._turns:
            if self._session is None:
                (await self._run('', None, None)).unwrap()
            await self._connection.upload(self._session or '', path, source)

    async def cancel(self) -> bool:
        """Stops what runs, as Ctrl-C does: it gives its result. Whether there was anything."""
        return await self._connection.interrupt()

    async def _run(self, code: str, globals: Mapping[str, Any] | None, files: Files | None) -> Result:
        call: dict[str, Any] = {'python_code': code}
        if globals is not None:
            call['global_variables'] = globals
        if files:
            call['files'] = {path: _placed(content) for path, content in files.items()}
        if self.persistent:
            call['session'] = self._session or 'new'
        # Not a model reads it.
        meta = {'mcp-run-python/whole-result': True}
        params = {'name': TOOL, 'arguments': call, '_meta': meta}
        try:
            answer = await self._connection.request('tools/call', params, alone=self._alone)
        except CancelledError:
            error = 'KeyboardInterrupt: the run was cancelled'
            return Result('run-error', [], error=error, text=error)
        try:
            result = results.read(answer)
        except ValueError as error:
            raise SandboxError(str(error)) from error
        if self.persistent:
            self._session = answer['structuredContent'].get('session', self._session)
        return result

    async def end_session(self) -> None:
        """Ends the session with its variables and files, and frees its memory: the next program begins another one."""
        if self._session is None:
            return
        params = {'name': END_TOOL, 'arguments': {'session': self._session}}
        self._session = None
        with anyio.move_on_after(END_TIME, shield=True):
            # If not now, it ends by itself when nobody uses it.
            with suppress(SandboxError):
                await self._connection.request('tools/call', params)

    def heard(self, level: str, text: str, logger: str | None) -> None:
        """Takes a log message of the connection."""
        if self._listener and logger is None:
            self._listener(Output('stderr' if level == 'warning' else 'stdout', text))

    @classmethod
    @contextmanager
    def sync(cls, **options: Unpack[Options]) -> Generator[SyncCodeSandbox, None, None]:
        """A sandbox for programs without async: `code_sandbox()`'s options, and the same methods."""
        from ._sync import SyncCodeSandbox

        with start_blocking_portal() as portal:
            opened: AbstractContextManager[CodeSandbox] = portal.wrap_async_context_manager(code_sandbox(**options))
            with opened as sandbox:
                yield SyncCodeSandbox(sandbox, portal)


class Options(TypedDict, total=False):
    """Those of `code_sandbox()`."""

    url: str | None
    token: str | None
    dependencies: Sequence[str] | None
    log_handler: LogHandler | None
    allow_networking: bool | None
    persistent: bool
    parallel: int | None
    time_limit: float | None
    memory_limit_mb: int | None
    settings: Mapping[str, object] | None


@asynccontextmanager
async def code_sandbox(
    *,
    url: str | None = None,
    token: str | None = None,
    dependencies: Sequence[str] | None = None,
    log_handler: LogHandler | None = None,
    allow_networking: bool | None = None,
    persistent: bool = False,
    parallel: int | None = None,
    time_limit: float | None = None,
    memory_limit_mb: int | None = None,
    settings: Mapping[str, object] | None = None,
) -> AsyncGenerator[CodeSandbox, None]:
    """Starts a sandbox, and ends it.

    Args:
        url: A server that runs elsewhere: its MCP address, for streamable HTTP. Packages and limits are its own.
        token: What it asks for (`ACCESS_TOKENS`).
        dependencies: Packages that every program has. Others are installed when one imports them.
        log_handler: Takes what programs write, as they do, and what is installed.
        allow_networking: For the original's sake: Python has no network here.
        persistent: Whether variables stay from one program to the next.
        parallel: How many programs run at once, each in an interpreter of its own, which nothing else has used.
        time_limit: How long a program may run, in seconds.
        memory_limit_mb: How much memory it may have, in MiB.
        settings: Any other settings of the server, by name.

    Raises:
        SandboxError: It cannot be started or reached, or its packages cannot be installed.
        ValueError: These options exclude each other.
    """
    if allow_networking:
        warnings.warn(NETWORK, stacklevel=3)
    if parallel is not None and (persistent or not 1 <= parallel <= MAX_PARALLEL):
        raise ValueError(f'`parallel` is from 1 to {MAX_PARALLEL}, and such a sandbox cannot be `persistent`')
    if url is None and token is not None:
        raise ValueError('`token` is for a server at a `url`')
    if url is not None and (dependencies or settings or time_limit is not None or memory_limit_mb is not None):
        raise ValueError('`dependencies`, limits and `settings` are of a server: that at `url` has its own')
    sandbox: CodeSandbox | None = None

    def log(level: str, text: str, logger: str | None) -> None:
        if log_handler:
            log_handler(level, text)  # type: ignore[arg-type]
        if sandbox:
            sandbox.heard(level, text, logger)

    if url is not None:
        from ._remote import connect

        connected = connect(url, token, log)
    else:
        of_server: dict[str, object] = {'LOG_LIMIT_PER_SECOND': ALL_LINES, **(settings or {})}
        if memory_limit_mb is not None:
            of_server['MEMORY_LIMIT_MB'] = memory_limit_mb
        options = arguments(dependencies=dependencies, time_limit=time_limit, settings=of_server)
        connected = start([str(program()), *options, 'stdio'], log)
    async with connected as connection:
        await connection.request('logging/setLevel', {'level': 'debug' if log_handler else 'info'})
        if dependencies:
            # What cannot be installed is told now, and not by the first program.
            (await CodeSandbox(connection).run('')).unwrap()
        sandbox = CodeSandbox(connection, persistent=persistent, parallel=parallel)
        try:
            yield sandbox
        finally:
            if url is not None:
                # A server of our own ends with its process.
                await sandbox.end_session()


def _placed(content: str | bytes) -> str | dict[str, str]:
    return content if isinstance(content, str) else {'base64': base64.b64encode(content).decode()}
