"""LangChain, by its MCP adapters: the tools of the server, for any model or agent of LangChain's."""

import asyncio
import os

from langchain_core.tools import BaseTool
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools

COMMAND = os.environ.get('MCP_RUN_PYTHON', 'npx -y mcp-run-python').split()


async def main() -> str:
    python = {'transport': 'stdio', 'command': COMMAND[0], 'args': [*COMMAND[1:], 'stdio']}
    client = MultiServerMCPClient({'python': python})
    # One session for all calls: files and imported modules stay.
    async with client.session('python') as session:
        tools: list[BaseTool] = await load_mcp_tools(session)
        # For an agent: `create_agent(model, tools)`.
        run_python_code = next(tool for tool in tools if tool.name == 'run_python_code')
        content = await run_python_code.ainvoke({'python_code': 'sum(range(10))'})
    return content[0]['text']


if __name__ == '__main__':
    print(asyncio.run(main()))
