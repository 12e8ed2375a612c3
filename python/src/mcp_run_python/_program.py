"""The location of the program, its environment and its command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

DISTRIBUTION = 'mcp-python-sandbox'

COMMANDS = ('mcp-python-sandbox', 'mcp-run-python')


def check_alone() -> None:
    """Fails if the original is installed, too: both have the same module and command, and overwrite each other's files.

    Raises:
        ImportError: The original is installed. The package's own commands exit with the message instead.
    """
    original = _original()
    if original is None:
        return
    why = (
        f'mcp-run-python {original} is installed beside {DISTRIBUTION}, and both have the module mcp_run_python: '
        f'`pip uninstall mcp-run-python`, and then `pip install --force-reinstall {DISTRIBUTION}`'
    )
    if Path(sys.argv[0]).name in COMMANDS:
        sys.exit(f'mcp-run-python: error: {why}')
    raise ImportError(why)


def _original() -> str | None:
    """Returns the original's version, if it is installed. `importlib.metadata` would take a tenth of a second."""
    for folder in sys.path:
        try:
            names = os.listdir(folder or '.')  # noqa: PTH208 - names are enough
        except OSError:
            continue
        for name in names:
            if name.startswith('mcp_run_python-') and name.endswith('.dist-info'):
                return name.removeprefix('mcp_run_python-').removesuffix('.dist-info')
    return None


def home() -> Path:
    """Returns the folder that contains the program, workerd, and the files of Python."""
    named = os.environ.get('MCP_RUN_PYTHON_HOME')
    return Path(named) if named else Path(__file__).parent / 'home'


def program() -> Path:
    """Returns the path of the program.

    Raises:
        RuntimeError: There is no program at that path.
    """
    path = home() / 'mcp-run-python'
    if not path.is_file():
        raise RuntimeError(
            f'the program is missing: it should be {path}. There are wheels of {DISTRIBUTION} for Linux and macOS; '
            'on Windows, use WSL'
        )
    return path


def environment(command: Sequence[str]) -> dict[str, str]:
    """Returns the program's environment: this process's, its home, and the command that starts it again (JSON)."""
    import json

    return {**os.environ, 'MCP_RUN_PYTHON_HOME': str(home()), 'MCP_RUN_PYTHON_COMMAND': json.dumps(list(command))}


def arguments(
    *,
    dependencies: Sequence[str] | None = None,
    return_mode: str | None = None,
    http_port: int | None = None,
    time_limit: float | None = None,
    settings: Mapping[str, object] | None = None,
    verbose: bool = False,
) -> list[str]:
    """Returns the options of the program's command line."""
    options: list[str] = []
    if dependencies:
        options += ['--deps', ','.join(dependencies)]
    if return_mode is not None:
        options += ['--return-mode', return_mode]
    if http_port is not None:
        options += ['--port', str(http_port)]
    if time_limit is not None:
        options += ['--time-limit', str(time_limit)]
    for name, value in (settings or {}).items():
        options += ['--set', f'{name}={value}']
    if verbose:
        options.append('--verbose')
    return options
