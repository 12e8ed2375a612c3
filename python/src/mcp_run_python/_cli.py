"""The commands of the package: they replace their own process with the program."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ._program import environment, program


def main() -> None:
    """Replaces this process with the program; exits with a message if the program is missing."""
    try:
        path = str(program())
    except RuntimeError as error:
        sys.exit(f'mcp-run-python: error: {error}')
    # The command that starts the program again: no path into uvx's environment, which is temporary.
    by_uvx = 'UV_RUN_RECURSION_DEPTH' not in os.environ and '/uv/' in sys.prefix
    command = ['uvx', 'mcp-python-sandbox'] if by_uvx else [str(Path(sys.argv[0]).absolute())]
    os.execve(path, ['mcp-run-python', *sys.argv[1:]], environment(command))  # noqa: S606 - it becomes that


def cli_logic(args_list: Sequence[str] | None = None) -> int:
    """Runs the command in a subprocess and waits for it; the original has the same function.

    Args:
        args_list: The arguments of the command line; by default those of this process.

    Returns:
        The exit code.
    """
    import subprocess

    from . import __version__

    words = sys.argv[1:] if args_list is None else list(args_list)
    # Printed here, not by the subprocess, so that a redirected `sys.stdout` gets it.
    if words == ['--version']:
        print(f'mcp-run-python {__version__}')
        return 0
    command = [str(program()), *words]
    return subprocess.run(command, env=environment(command), check=False).returncode


def cli() -> None:
    """Runs the command with this process's arguments and exits; the original has the same function."""
    sys.exit(cli_logic())


if __name__ == '__main__':
    main()
