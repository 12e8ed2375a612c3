"""`python -m mcp_run_python` is the same as the command `mcp-run-python`."""

from ._cli import main

if __name__ == '__main__':
    main()
