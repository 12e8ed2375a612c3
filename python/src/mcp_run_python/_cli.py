"""The commands: become the program."""

from __future__ import annotations

import os
import sys
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


if __name__ == '__main__':
    main()
