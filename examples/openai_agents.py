"""The OpenAI Agents SDK, by stdio."""

import asyncio
import os

from agents import Agent, Model, Runner
from agents.mcp import MCPServerStdio

COMMAND = os.environ.get('MCP_RUN_PYTHON', 'npx -y mcp-run-python').split()


async def main(model: str | Model = 'gpt-5') -> str:
    params = {'command': COMMAND[0], 'args': [*COMMAND[1:], 'stdio']}
    async with MCPServerStdio(params, client_session_timeout_seconds=70) as python:
        agent = Agent(name='python', model=model, mcp_servers=[python])
        result = await Runner.run(agent, 'How many days are there between 2000-01-01 and 2025-03-18?')
    return result.final_output


if __name__ == '__main__':
    print(asyncio.run(main()))
