"""`python -m mcp_run_python` is the command."""

from ._cli import main

if __name__ == '__main__':
    main()
