"""Runs untrusted Python: real CPython with real packages, in an isolate that can reach only what you give it."""

from __future__ import annotations

from typing import Any as _Any

from ._program import DISTRIBUTION as _DISTRIBUTION
from ._program import check_alone as _check_alone

_check_alone()

from ._connection import SandboxError  # noqa: E402
from ._sync import SyncCodeSandbox  # noqa: E402
from .code_sandbox import CodeSandbox, code_sandbox  # noqa: E402
from .main import async_prepare_deno_env, prepare_deno_env, run_mcp_server  # noqa: E402
from .results import File, Image, Output, ProgramError, Result, RunError, RunSuccess  # noqa: E402

__version__: str
__all__ = (
    'CodeSandbox',
    'File',
    'Image',
    'Output',
    'ProgramError',
    'Result',
    'RunError',
    'RunSuccess',
    'SandboxError',
    'SyncCodeSandbox',
    '__version__',
    'async_prepare_deno_env',
    'code_sandbox',
    'prepare_deno_env',
    'run_mcp_server',
)


def __getattr__(name: str) -> _Any:
    # Read on demand: importing `importlib.metadata` takes longer than importing the rest of the package.
    if name == '__version__':
        from importlib.metadata import version

        return version(_DISTRIBUTION)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
