"""Pydantic AI, by stdio: the agent starts the server itself."""

import asyncio
import os

from fastmcp.client.transports import StdioTransport
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.models import KnownModelName, Model

COMMAND = os.environ.get('MCP_RUN_PYTHON', 'npx -y mcp-run-python').split()


async def main(model: Model | KnownModelName = 'anthropic:claude-sonnet-4-5') -> str:
    python = MCPToolset(StdioTransport(COMMAND[0], [*COMMAND[1:], 'stdio']))
    agent = Agent(model, toolsets=[python])
    async with agent:
        result = await agent.run('How many days are there between 2000-01-01 and 2025-03-18?')
    return result.output


if __name__ == '__main__':
    print(asyncio.run(main()))
