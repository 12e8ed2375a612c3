"""The rest of the original's interface: running the server, or only its command line."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, ParamSpec

from ._program import arguments, environment, home, program
from .code_sandbox import NETWORK, LogHandler

logger = logging.getLogger(__name__)

_P = ParamSpec('_P')

Mode = Literal['stdio', 'streamable_http', 'streamable_http_stateless', 'example']


@dataclass
class DenoEnv:
    """The command that starts the server: `[command, *args]`, run in `cwd`.

    The name is the original's; Deno is not used.
    """

    cwd: Path
    args: list[str]
    command: str
    """The path of the program, to be started with `args` in `cwd`."""


_Prepared = AbstractAsyncContextManager[DenoEnv]


def run_mcp_server(
    mode: Mode,
    *,
    http_port: int | None = None,
    dependencies: Sequence[str] | None = None,
    return_mode: Literal['json', 'xml'] = 'xml',
    deps_log_handler: LogHandler | None = None,
    allow_networking: bool | None = None,
    verbose: bool = False,
) -> int:
    """Runs the server until it ends, and returns its exit code (0 after Ctrl-C).

    Args:
        mode: The transport, or 'example'.
        http_port: The port to listen on, for the `streamable_http` modes.
        dependencies: Packages to install for every program.
        return_mode: The format of the text of results.
        deps_log_handler: Called with 'info' and each line of the server's stderr: what it fetches, and errors.
        allow_networking: Accepted for compatibility with the original. Python has no network here; True only warns.
        verbose: Whether the server logs more.

    Raises:
        ValueError: `http_port` is set, and the mode is not HTTP.
    """
    with prepare_deno_env(
        mode,
        http_port=http_port,
        dependencies=dependencies,
        return_mode=return_mode,
        allow_networking=allow_networking,
    ) as env:
        options = ['--verbose'] if verbose else []
        told = environment([sys.executable, '-m', 'mcp_run_python'])
        command = [env.command, *options, *env.args]
        said = subprocess.PIPE if deps_log_handler else None
        server = subprocess.Popen(command, cwd=env.cwd, env=told, stderr=said, text=True)
        try:
            for line in server.stderr or ():
                assert deps_log_handler is not None
                deps_log_handler('info', line.rstrip('\n'))
            return server.wait()
        except KeyboardInterrupt:
            logger.warning('Server stopped.')
            server.terminate()
            server.wait()
            return 0


@contextmanager
def prepare_deno_env(
    mode: Mode,
    *,
    http_port: int | None = None,
    dependencies: Sequence[str] | None = None,
    return_mode: Literal['json', 'xml'] = 'xml',
    deps_log_handler: LogHandler | None = None,
    allow_networking: bool | None = None,
) -> Generator[DenoEnv, None, None]:
    """Yields the command that starts the server, for clients that start it themselves. It creates and removes no files.

    Args:
        mode: The transport, or 'example'.
        http_port: The port to listen on, for the `streamable_http` modes.
        dependencies: Packages to install for every program.
        return_mode: The format of the text of results.
        deps_log_handler: Accepted for compatibility with the original, and not used.
        allow_networking: Accepted for compatibility with the original. Python has no network here; True only warns.

    Raises:
        RuntimeError: The program is missing.
        ValueError: `http_port` is set, and the mode is not HTTP.
    """
    if http_port is not None and mode not in ('streamable_http', 'streamable_http_stateless'):
        raise ValueError('Port is only supported for `streamable_http` modes')
    if allow_networking:
        warnings.warn(NETWORK, stacklevel=3)
    options = arguments(dependencies=dependencies, return_mode=return_mode, http_port=http_port)
    yield DenoEnv(home(), [*options, mode.replace('_', '-')], str(program()))


def _made_async(prepare: Callable[_P, AbstractContextManager[DenoEnv]]) -> Callable[_P, _Prepared]:
    @asynccontextmanager
    async def prepared(*args: _P.args, **kwargs: _P.kwargs) -> AsyncGenerator[DenoEnv, None]:
        with prepare(*args, **kwargs) as env:
            yield env

    prepared.__doc__ = 'Async variant of `prepare_deno_env`.'
    return prepared


async_prepare_deno_env = _made_async(prepare_deno_env)
