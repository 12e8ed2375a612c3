"""The examples for frameworks that need a different version of `mcp`."""

import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from agents import Model, ModelResponse, Usage
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

os.environ['MCP_RUN_PYTHON'] = os.environ['DESK']
os.environ['OPENAI_AGENTS_DISABLE_TRACING'] = '1'
sys.path.insert(0, str(Path(__file__).parent / '../../examples'))

pytestmark = pytest.mark.asyncio
CODE = 'from datetime import date\n(date(2025, 3, 18) - date(2000, 1, 1)).days'


class TwoSteps(Model):
    """A fake model: runs a program, and answers with what it returned."""

    async def get_response(self, *_args: Any, **options: Any) -> ModelResponse:  # noqa: D102
        messages = options['input']
        returned = [item['output'] for item in messages if item.get('type') == 'function_call_output']
        if returned:
            text = ResponseOutputText(type='output_text', text=str(returned[0]), annotations=[])
            output = ResponseOutputMessage(id='m', type='message', role='assistant', status='completed', content=[text])
        else:
            arguments = json.dumps({'python_code': CODE})
            output = ResponseFunctionToolCall(
                type='function_call', call_id='c', name='run_python_code', arguments=arguments
            )
        return ModelResponse(output=[output], usage=Usage(), response_id=None)

    def stream_response(self, *_args: Any, **_options: Any) -> AsyncIterator[Any]:
        """Not used by the tests."""
        raise NotImplementedError


async def test_openai_agents_example() -> None:
    import openai_agents

    assert '9208' in await openai_agents.main(TwoSteps())


async def test_langchain_example() -> None:
    import langchain_tools

    assert '<return_value>\n45\n</return_value>' in await langchain_tools.main()
