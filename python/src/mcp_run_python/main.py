"""The original's other interface: the server, and what it takes to start it."""

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
    """What it takes to start the server. Its name is the original's: there is no Deno."""

    cwd: Path
    args: list[str]
    command: str
    """The program, to be started with `args` in `cwd`."""


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
    """Runs the server until it ends. Gives its exit code.

    Args:
        mode: How clients reach it.
        http_port: Its port, if that is by HTTP.
        dependencies: Packages that every program has.
        return_mode: How the text of results is written.
        deps_log_handler: Takes what the server says on stderr: what it fetches, and what fails.
        allow_networking: For the original's sake: Python has no network here.
        verbose: Whether it says more.
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
    """What it takes to start the server, for clients that start it themselves. Nothing has to be prepared, or removed.

    Raises:
        ValueError: There is a port, and the mode has none.
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
