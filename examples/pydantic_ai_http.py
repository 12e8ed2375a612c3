"""Pydantic AI, by HTTP: the server runs already, by `npx mcp-run-python streamable-http`."""

import asyncio
import os

from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.models import KnownModelName, Model

URL = os.environ.get('MCP_URL', 'http://127.0.0.1:3001/mcp')


async def main(model: Model | KnownModelName = 'anthropic:claude-sonnet-4-5') -> str:
    agent = Agent(model, toolsets=[MCPToolset(URL)])
    async with agent:
        result = await agent.run('How many days are there between 2000-01-01 and 2025-03-18?')
    return result.output


if __name__ == '__main__':
    print(asyncio.run(main()))
