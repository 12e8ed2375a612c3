"""A sandbox for programs that somebody else wrote, in a few lines."""

from __future__ import annotations

import base64
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import anyio
from anyio.from_thread import start_blocking_portal

from . import results
from ._connection import Connection, connect
from ._program import arguments, program
from .results import Output, Result, RunError, RunSuccess

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

LoggingLevel = Literal['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency']
LogHandler = Callable[[LoggingLevel, str], None]

Files = Mapping[str, str | bytes]
"""Files that a program gets: their content, as text or bytes, by their paths, which are relative to its folder."""

NETWORK = 'Python in this sandbox has no network: allow_networking=True changes nothing'


@dataclass
class CodeSandbox:
    """A sandbox. Its programs run one after the other."""

    _connection: Connection
    _persistent: bool = False
    _session: str | None = None
    _turn: anyio.Lock = field(default_factory=anyio.Lock)
    _listener: Callable[[Output], None] | None = None

    async def eval(self, code: str, globals: Mapping[str, Any] | None = None) -> RunSuccess | RunError:
        """Runs a program, and gives its result as a dictionary, as the original does.

        Args:
            code: The program.
            globals: Variables that it has: anything that JSON has.

        Raises:
            SandboxError: It was not run: the sandbox has ended, or refused the arguments.
        """
        result = await self.run(code, globals)
        if result.error is None and result.status == 'success':
            return {'status': result.status, 'output': result.output, 'return_value': result.value}
        assert result.status != 'success'
        return {'status': result.status, 'output': result.output, 'error': result.error or ''}

    async def run(self, code: str, globals: Mapping[str, Any] | None = None, *, files: Files | None = None) -> Result:
        """Runs a program. Whoever is cancelled meanwhile stops it.

        Args:
            code: The program.
            globals: Variables that it has: anything that JSON has.
            files: Files that it gets.

        Raises:
            SandboxError: It was not run: the sandbox has ended, or refused the arguments.
        """
        async with self._turn:
            return await self._run(code, globals, files)

    async def stream(
        self, code: str, globals: Mapping[str, Any] | None = None, *, files: Files | None = None
    ) -> AsyncIterator[Output | Result]:
        """Runs a program; gives its lines as it writes them, and its result at last."""
        send, receive = anyio.create_memory_object_stream['Output | Result | Exception'](float('inf'))

        async def going() -> None:
            async with send, self._turn:
                self._listener = send.send_nowait
                try:
                    send.send_nowait(await self._run(code, globals, files))
                except Exception as error:
                    send.send_nowait(error)
                finally:
                    self._listener = None

        failed: Exception | None = None
        async with anyio.create_task_group() as tasks, receive:
            tasks.start_soon(going)
            async for event in receive:
                if isinstance(event, Exception):
                    failed = event
                else:
                    yield event
        if failed:
            raise failed

    async def cancel(self) -> bool:
        """Stops the program that runs, as Ctrl-C does: it gives its result. Whether there was one."""
        return await self._connection.interrupt()

    async def _run(self, code: str, globals: Mapping[str, Any] | None, files: Files | None) -> Result:
        call: dict[str, Any] = {'python_code': code}
        if globals is not None:
            call['global_variables'] = globals
        if files:
            call['files'] = {path: _placed(content) for path, content in files.items()}
        if self._persistent:
            call['session'] = self._session or 'new'
        answer = await self._connection.request('tools/call', {'name': 'run_python_code', 'arguments': call})
        if self._persistent:
            self._session = answer['structuredContent'].get('session', self._session)
        return results.read(answer)

    @classmethod
    @contextmanager
    def sync(cls, **options: Any) -> Iterator[SyncCodeSandbox]:
        """A sandbox for programs without async: `code_sandbox()`'s options, and the same methods."""
        with start_blocking_portal() as portal:
            opened: AbstractContextManager[CodeSandbox] = portal.wrap_async_context_manager(code_sandbox(**options))
            with opened as sandbox:
                yield SyncCodeSandbox(sandbox, portal)


@dataclass
class SyncCodeSandbox:
    """A sandbox for programs without async."""

    _sandbox: CodeSandbox
    _portal: BlockingPortal

    def eval(self, code: str, globals: Mapping[str, Any] | None = None) -> RunSuccess | RunError:
        """See `CodeSandbox.eval`."""
        result: RunSuccess | RunError = self._portal.call(self._sandbox.eval, code, globals)
        return result

    def run(self, code: str, globals: Mapping[str, Any] | None = None, *, files: Files | None = None) -> Result:
        """See `CodeSandbox.run`."""
        return self._portal.call(lambda: self._sandbox.run(code, globals, files=files))

    def cancel(self) -> bool:
        """See `CodeSandbox.cancel`. From another thread."""
        return self._portal.call(self._sandbox.cancel)


@asynccontextmanager
async def code_sandbox(
    *,
    dependencies: Sequence[str] | None = None,
    log_handler: LogHandler | None = None,
    allow_networking: bool | None = None,
    persistent: bool = False,
    time_limit: float | None = None,
    memory_limit_mb: int | None = None,
    settings: Mapping[str, object] | None = None,
) -> AsyncIterator[CodeSandbox]:
    """Starts a sandbox, and ends it.

    Args:
        dependencies: Packages that every program has. Others are installed when one imports them.
        log_handler: Takes what programs write, as they do, and what is installed.
        allow_networking: For the original's sake: Python has no network here.
        persistent: Whether variables stay from one program to the next.
        time_limit: How long a program may run, in seconds.
        memory_limit_mb: How much memory it may have, in MiB.
        settings: Any other settings of the server, by name.

    Raises:
        SandboxError: It cannot be started, or its packages cannot be installed.
    """
    if allow_networking:
        warnings.warn(NETWORK, stacklevel=3)
    all_settings = dict(settings or {})
    if memory_limit_mb is not None:
        all_settings['MEMORY_LIMIT_MB'] = memory_limit_mb
    options = arguments(dependencies=dependencies, return_mode='json', time_limit=time_limit, settings=all_settings)
    sandbox: CodeSandbox | None = None

    def log(level: str, text: str, logger: str | None) -> None:
        if log_handler:
            log_handler(level, text)  # type: ignore[arg-type]
        if sandbox and sandbox._listener and logger is None:
            sandbox._listener(Output('stderr' if level == 'warning' else 'stdout', text))

    async with connect([str(program()), *options, 'stdio'], log) as connection:
        await connection.request('logging/setLevel', {'level': 'debug' if log_handler else 'info'})
        sandbox = CodeSandbox(connection, persistent)
        if dependencies:
            # What cannot be installed is told now, and not by the first program.
            result = await CodeSandbox(connection).run('')
            result.unwrap()
        yield sandbox


def _placed(content: str | bytes) -> str | dict[str, str]:
    return content if isinstance(content, str) else {'base64': base64.b64encode(content).decode()}
