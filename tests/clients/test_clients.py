"""The Python clients: `mcp`, and Pydantic AI with a fake model, in every protocol version that they support."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from fastmcp.client import Client as FastMCPClient
from mcp import Client, MCPError
from mcp.types import LoggingMessageNotificationParams
from pydantic_ai import Agent, models
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

URL = os.environ['MCP_URL']
PROGRAMS = json.loads((Path(__file__).parent / 'programs.json').read_text())
MODES = {'legacy': '2025-11-25', 'auto': '2026-07-28', '2026-07-28': '2026-07-28'}
TOOL = 'run_python_code'

models.ALLOW_MODEL_REQUESTS = False
pytestmark = pytest.mark.asyncio


def arguments(program: dict[str, Any]) -> dict[str, Any]:
    """Returns the tool's arguments for a program."""
    return {'python_code': program['code'], 'global_variables': program.get('globals', {})}


@pytest.mark.parametrize('mode', MODES)
async def test_mcp(mode: str) -> None:
    logs: list[tuple[str, Any]] = []

    async def log(params: LoggingMessageNotificationParams) -> None:
        logs.append((params.level, params.data))

    async with Client(URL, mode=mode, logging_callback=log, log_level='info') as client:
        assert client.protocol_version == MODES[mode]
        assert [tool.name for tool in (await client.list_tools()).tools][:2] == [TOOL, 'end_python_session']
        if mode == 'legacy':
            await client.set_logging_level('info')
        for program in PROGRAMS:
            result = await client.call_tool(TOOL, arguments(program))
            assert [block.text for block in result.content] == [program['text']]
            assert not result.is_error
        assert logs == [('info', 'héllo'), ('warning', 'careful'), ('info', 'no value')]

        async def square(n: int) -> Any:
            return (await client.call_tool(TOOL, {'python_code': f'{n} ** 2'})).structured_content['return_value']

        assert await asyncio.gather(*map(square, range(20))) == [n**2 for n in range(20)]
        with pytest.raises(MCPError, match='python_code'):
            await client.call_tool(TOOL, {})


@pytest.mark.parametrize('mode', MODES)
async def test_pydantic_ai(mode: str) -> None:
    """An agent whose model first runs all programs in one step, then one more in a second step."""
    returned: list[Any] = []

    async def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        assert [tool.name for tool in info.function_tools][:2] == [TOOL, 'end_python_session']
        last = [part for part in messages[-1].parts if isinstance(part, ToolReturnPart)]
        returned.append([part.content for part in last])
        # First all programs at once, then one more, then the end.
        wanted = [PROGRAMS, PROGRAMS[:1], []][len(returned) - 1]
        calls = [ToolCallPart(TOOL, arguments(program)) for program in wanted]
        return ModelResponse(parts=calls or [TextPart('done')])

    agent = Agent(FunctionModel(model), toolsets=[MCPToolset(FastMCPClient(URL, mode=mode))])
    async with agent:
        assert (await agent.run('run them')).output == 'done'
    _, all_at_once, one_more = returned
    statuses = ['run-error' if 'run-error' in program['text'] else 'success' for program in PROGRAMS]
    assert [result['status'] for result in all_at_once] == statuses
    assert all_at_once[1]['output'] == ['héllo', 'careful']
    assert [result['return_value'] for result in one_more] == [2]
