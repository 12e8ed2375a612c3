"""Plain `mcp`: the original's `code_sandbox`, in twenty lines."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mcp import Client, StdioServerParameters, stdio_client

COMMAND = os.environ.get('MCP_RUN_PYTHON', 'npx -y mcp-run-python').split()


class CodeSandbox:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def eval(self, code: str, globals: dict[str, Any] | None = None) -> dict[str, Any]:
        arguments = {'python_code': code, 'global_variables': globals or {}}
        result = await self._client.call_tool('run_python_code', arguments)
        return json.loads(result.content[0].text)


@asynccontextmanager
async def code_sandbox(*, dependencies: list[str] | None = None) -> AsyncIterator[CodeSandbox]:
    options = ['--return-mode', 'json', *(['--deps', ','.join(dependencies)] if dependencies else [])]
    server = StdioServerParameters(command=COMMAND[0], args=[*COMMAND[1:], *options, 'stdio'])
    async with Client(stdio_client(server), mode='legacy') as client:
        yield CodeSandbox(client)


async def main() -> dict[str, Any]:
    async with code_sandbox() as sandbox:
        return await sandbox.eval('print(f"hello {name}")\nsum(range(10))', {'name': 'world'})


if __name__ == '__main__':
    print(asyncio.run(main()))
