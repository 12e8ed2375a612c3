"""The commands: become the program."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ._program import environment, program


def main() -> None:
    """Never returns, but for an error."""
    try:
        path = str(program())
    except RuntimeError as error:
        sys.exit(f'mcp-run-python: error: {error}')
    # What `uvx` runs lies where nothing stays.
    by_uvx = 'UV_RUN_RECURSION_DEPTH' not in os.environ and '/uv/' in sys.prefix
    command = ['uvx', 'mcp-python-sandbox'] if by_uvx else [str(Path(sys.argv[0]).absolute())]
    os.execve(path, ['mcp-run-python', *sys.argv[1:]], environment(command))  # noqa: S606 - it becomes that


def cli_logic(args_list: Sequence[str] | None = None) -> int:
    """The command as a function, as the original has it.

    Args:
        args_list: Its words; without them, those of this process.

    Returns:
        Its exit code.
    """
    import subprocess

    from . import __version__

    words = sys.argv[1:] if args_list is None else list(args_list)
    # Whoever has taken this process's output gets it.
    if words == ['--version']:
        print(f'mcp-run-python {__version__}')
        return 0
    command = [str(program()), *words]
    return subprocess.run(command, env=environment(command), check=False).returncode


def cli() -> None:
    """The command, as the original has it."""
    sys.exit(cli_logic())


if __name__ == '__main__':
    main()
