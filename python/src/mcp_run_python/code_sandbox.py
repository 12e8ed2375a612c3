"""The library's main interface: `code_sandbox()` and `CodeSandbox`."""

from __future__ import annotations

import base64
import sys
import warnings
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import anyio

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
"""Files for a program: text or bytes by path, relative to its working directory."""

NETWORK = 'Python in this sandbox has no network: allow_networking=True changes nothing'

# The most programs at once per server: its default limit for each client (`RUNS_LIMIT_EACH`).
MAX_PARALLEL = 32

# The most servers in one sandbox.
MAX_PROCESSES = 32

# The limit of output lines sent as log messages each second, high enough for all that a run may write.
ALL_LINES = 1_000_000


class CodeSandbox:
    """A sandbox, made by `code_sandbox()`.

    Several tasks may use it at once: programs wait for their turn, and run one after the other unless it is parallel.
    """

    def __init__(self, connection: Connection, *, persistent: bool = False, parallel: int | None = None) -> None:
        """Wraps a connection; use `code_sandbox()` instead, which opens one."""
        self.persistent = persistent
        self._connection = connection
        self._alone = parallel is not None
        self._turns = anyio.Semaphore(parallel or 1)
        self._session: str | None = None
        self._listener: Callable[[Output], None] | None = None

    async def eval(self, code: str, globals: Mapping[str, Any] | None = None) -> RunSuccess | RunError:
        """Runs a program and returns its result as a dictionary, in the format of the original.

        Args:
            code: The program's source.
            globals: Variables to define before it runs, by name: values that JSON has, and those that `run()` lists.

        Returns:
            `status`, `output` (lines) and `return_value`; or `error` in its place if the program failed.

        Raises:
            SandboxError: The program was not run, since the sandbox has ended or refused the arguments; or its result
                did not arrive.
            TypeError: A variable cannot be written as JSON.
            ValueError: A variable has a number that is not finite, or text or bytes that are not valid Unicode.
        """
        return (await self.run(code, globals)).as_dict()

    async def run(self, code: str, globals: Mapping[str, Any] | None = None, *, files: Files | None = None) -> Result:
        """Runs a program and returns its result. Cancelling the call stops the program.

        A program that fails or exceeds a limit raises nothing here: see `Result.status`, or call `Result.unwrap()`.

        Args:
            code: The program's source. The value of an expression on its last line is the result's `value`.
            globals: Variables to define before it runs, by name: values that JSON has; also dataclasses, Pydantic
                models, sets, enums, dates, times, decimals, UUIDs, paths, and bytes of UTF-8, which arrive as JSON.
            files: Files to write before it runs: text or bytes by path, relative to its working directory.

        Raises:
            SandboxError: The program was not run, since the sandbox has ended or refused the arguments; or its result
                did not arrive.
            TypeError: A variable cannot be written as JSON.
            ValueError: A variable has a number that is not finite, or text or bytes that are not valid Unicode.
        """
        async with self._turns:
            return await self._run(code, globals, files)

    async def stream(
        self, code: str, globals: Mapping[str, Any] | None = None, *, files: Files | None = None
    ) -> AsyncGenerator[Output | Result, None]:
        """Runs a program; yields its lines of output as it writes them, and its `Result` last.

        The arguments and errors are those of `run()`. Closing the iterator stops the program; after a `break`, call
        `aclose()`. In a parallel sandbox, or with a server without sessions, all lines come at the end, as stdout.
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

        # A task of the sandbox, not of this generator, which the caller may abandon at any `yield`.
        self._connection.tasks.start_soon(going)
        try:
            async for event in receive:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            scope.cancel()
            receive.close()

    async def upload(self, path: str, source: Source) -> None:
        """Uploads a file, which may be large, to the session of a persistent sandbox at a `url`: it is sent in pieces.

        Args:
            path: Where to put it, relative to the working directory of programs.
            source: Its bytes, the path of a file on this machine, or a file object opened for reading bytes.

        Raises:
            SandboxError: The server refused it or cannot be reached; or the sandbox runs on this machine, where `run()`
                takes `files` instead.
            ValueError: The sandbox is not persistent, so no session would keep the file.
        """
        if not self.persistent:
            raise ValueError('upload() needs a session to keep the file: pass `persistent=True`')
        async with self._turns:
            if self._session is None:
                (await self._run('', None, None)).unwrap()
            await self._connection.upload(self._session or '', path, source)

    async def read(self, file: File) -> bytes:
        """Returns all bytes of a file of a result, however large.

        Raises:
            SandboxError: They are no longer available: the file was deleted, a later run changed it, or a quarter of an
                hour has passed, for example.
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

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[CodeSandbox, None]:
        """Opens a session within a parallel sandbox, and ends it after the `async with` block.

        Yields a persistent sandbox, which keeps variables and files from one program to the next. All its programs run
        in one server. If that server ends, so does the session.

        Raises:
            SandboxError: No server is left, and none can be started.
            ValueError: The sandbox is not parallel.
        """
        if not self._alone:
            raise ValueError('sessions are of a sandbox that is `parallel`, or has several `processes`')
        from ._pool import Pool

        connection = self._connection
        if isinstance(connection, Pool):
            connection = await connection.pinned()
        sandbox = CodeSandbox(connection, persistent=True)
        try:
            yield sandbox
        finally:
            await sandbox.end_session()

    async def cancel(self) -> bool:
        """Stops all running programs, as Ctrl-C does; returns whether there were any.

        The calls that run them return results with the error `KeyboardInterrupt`, without output at a `url`.
        """
        return await self._connection.interrupt()

    async def _run(self, code: str, globals: Mapping[str, Any] | None, files: Files | None) -> Result:
        call: dict[str, Any] = {'python_code': code}
        if globals is not None:
            call['global_variables'] = globals
        if files:
            call['files'] = {path: _placed(content) for path, content in files.items()}
        if self.persistent:
            call['session'] = self._session or 'new'
        # The result is not for a model: do not shorten it.
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
        """Ends a persistent sandbox's session, with its variables and files; the next program begins a new one."""
        if self._session is None:
            return
        params = {'name': END_TOOL, 'arguments': {'session': self._session}}
        self._session = None
        with anyio.move_on_after(END_TIME, shield=True):
            # A session that cannot be ended now expires once it is idle.
            with suppress(SandboxError):
                await self._connection.request('tools/call', params)

    def heard(self, level: str, text: str, logger: str | None) -> None:
        """Passes a line of output among the connection's log messages to the current `stream()`."""
        if self._listener and logger is None:
            self._listener(Output('stderr' if level == 'warning' else 'stdout', text))

    @classmethod
    @contextmanager
    def sync(cls, **options: Unpack[Options]) -> Generator[SyncCodeSandbox, None, None]:
        """Opens a sandbox for programs without async, and ends it after the `with` block.

        It takes the options of `code_sandbox()`, and yields a `SyncCodeSandbox`, which has the methods of this class.
        """
        from anyio.from_thread import start_blocking_portal

        from ._sync import SyncCodeSandbox

        with start_blocking_portal() as portal:
            opened: AbstractContextManager[CodeSandbox] = portal.wrap_async_context_manager(code_sandbox(**options))
            with opened as sandbox:
                yield SyncCodeSandbox(sandbox, portal)


class Options(TypedDict, total=False):
    """The options of `code_sandbox()`, which describes them."""

    url: str | Sequence[str] | None
    token: str | None
    dependencies: Sequence[str] | None
    log_handler: LogHandler | None
    allow_networking: bool | None
    persistent: bool
    parallel: int | None
    processes: int | None
    time_limit: float | None
    memory_limit_mb: int | None
    settings: Mapping[str, object] | None


@asynccontextmanager
async def code_sandbox(
    *,
    url: str | Sequence[str] | None = None,
    token: str | None = None,
    dependencies: Sequence[str] | None = None,
    log_handler: LogHandler | None = None,
    allow_networking: bool | None = None,
    persistent: bool = False,
    parallel: int | None = None,
    processes: int | None = None,
    time_limit: float | None = None,
    memory_limit_mb: int | None = None,
    settings: Mapping[str, object] | None = None,
) -> AsyncGenerator[CodeSandbox, None]:
    """Starts a sandbox, and ends it after the `async with` block. All options are optional.

    Args:
        url: The MCP address (streamable HTTP) of a server that runs elsewhere, instead of starting one. Packages and
            limits are that server's own. With a list of addresses, each run goes to the least busy server.
        token: The access token for the server at `url` (`ACCESS_TOKENS`).
        dependencies: Packages to install for every program. Others are installed when a program imports them.
        log_handler: Called with a level and a text for each line that a program writes, as it writes it, and for
            messages such as what is installed.
        allow_networking: Accepted for compatibility with the original. Python has no network here; True only warns.
        persistent: Whether variables are kept from one program to the next.
        parallel: How many programs may run at once, at most 32 for each server. Each has a fresh interpreter.
        processes: How many servers to start, from 1 to 32. Together they run `parallel` programs at once, by default
            one each. A server that ends is replaced; programs that ran in it fail with a `SandboxError`.
        time_limit: The time limit of each program, in seconds (wall-clock).
        memory_limit_mb: The memory limit of an interpreter, in MiB.
        settings: Other settings of the server, by name, such as `FILES`.

    Raises:
        ProgramError: `dependencies` cannot be installed.
        SandboxError: The server cannot be started or reached, or ended because of its settings or `dependencies`.
        ValueError: Options exclude each other, or are out of range.
    """
    if allow_networking:
        warnings.warn(NETWORK, stacklevel=3)
    urls = [url] if isinstance(url, str) else url
    count = processes or 1 if urls is None else len(urls)
    is_pool = processes is not None or not (url is None or isinstance(url, str))
    if not 1 <= count <= MAX_PROCESSES or (processes is not None and processes < 1):
        raise ValueError(f'a sandbox has from 1 to {MAX_PROCESSES} `processes`, or addresses')
    if is_pool and parallel is None:
        parallel = count
    if parallel is not None and (persistent or not 1 <= parallel <= MAX_PARALLEL * count):
        most = f'{MAX_PARALLEL} for each server'
        raise ValueError(f'`parallel` is from 1 to {most}, and such a sandbox cannot be `persistent`: see `session()`')
    if urls is None and token is not None:
        raise ValueError('`token` is for a server at a `url`')
    if urls is not None and (dependencies or settings or time_limit is not None or memory_limit_mb is not None):
        raise ValueError('`dependencies`, limits and `settings` are of a server: that at `url` has its own')
    if urls is not None and processes is not None:
        raise ValueError('`processes` are started, and what is at a `url` is not')
    sandbox: CodeSandbox | None = None

    def log(level: str, text: str, logger: str | None) -> None:
        if log_handler:
            log_handler(level, text)  # type: ignore[arg-type]
        if sandbox:
            sandbox.heard(level, text, logger)

    command: list[str] = []
    if urls is None:
        of_server: dict[str, object] = {'LOG_LIMIT_PER_SECOND': ALL_LINES, **(settings or {})}
        if memory_limit_mb is not None:
            of_server['MEMORY_LIMIT_MB'] = memory_limit_mb
        options = arguments(dependencies=dependencies, time_limit=time_limit, settings=of_server)
        command = [str(program()), *options, 'stdio']

    @asynccontextmanager
    async def opened(at: str | None) -> AsyncGenerator[Connection, None]:
        if at is not None:
            from ._remote import connect

            connected = connect(at, token, log)
        else:
            connected = start(command, log)
        async with connected as connection:
            await connection.request('logging/setLevel', {'level': 'debug' if log_handler else 'info'})
            if dependencies:
                # Installs them now, so that an error is raised here and not by the first program.
                (await CodeSandbox(connection).run('')).unwrap()
            yield connection

    places: Sequence[str | None] = urls or [None] * count
    if is_pool:
        from ._pool import pool

        all_opened = pool([partial(opened, place) for place in places], -(-(parallel or count) // count))
    else:
        all_opened = opened(places[0])
    async with all_opened as connection:
        sandbox = CodeSandbox(connection, persistent=persistent, parallel=parallel)
        try:
            yield sandbox
        finally:
            if urls is not None:
                # A local server's sessions end with its process; one elsewhere has to be told.
                await sandbox.end_session()


def _placed(content: str | bytes) -> str | dict[str, str]:
    return content if isinstance(content, str) else {'base64': base64.b64encode(content).decode()}
