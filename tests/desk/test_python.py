"""Python clients of the desk: the examples, and test cases of the original's library."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import models
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

DESK = os.environ['DESK']
os.environ['MCP_RUN_PYTHON'] = DESK
sys.path.insert(0, str(Path(__file__).parent / '../../examples'))

import code_sandbox  # noqa: E402

models.ALLOW_MODEL_REQUESTS = False
pytestmark = pytest.mark.asyncio
CODE = 'from datetime import date\n(date(2025, 3, 18) - date(2000, 1, 1)).days'


async def model(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    """A fake model: runs a program, and answers with what it returned."""
    returned = [part.content for part in messages[-1].parts if isinstance(part, ToolReturnPart)]
    if not returned:
        return ModelResponse(parts=[ToolCallPart('run_python_code', {'python_code': CODE})])
    return ModelResponse(parts=[TextPart(str(returned[0]['return_value']))])


@pytest.fixture(scope='module')
def url() -> Iterator[str]:
    """Runs a server and yields its address."""
    with subprocess.Popen([DESK, '--port', '0', 'streamable-http'], stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        found = next(filter(None, (re.search(r' on (http:\S+)', line) for line in server.stderr)))
        yield found[1]
        server.terminate()
        server.stderr.read()


async def test_code_sandbox_example() -> None:
    assert await code_sandbox.main() == {'status': 'success', 'output': ['hello world'], 'return_value': 45}


async def test_pydantic_ai_examples(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import pydantic_ai_http
    import pydantic_ai_stdio

    monkeypatch.setattr(pydantic_ai_http, 'URL', url)
    assert await pydantic_ai_stdio.main(FunctionModel(model)) == '9208'
    assert await pydantic_ai_http.main(FunctionModel(model)) == '9208'


# The cases of the original's `tests/test_sandbox.py` that need no packages and no network.
@pytest.mark.parametrize(
    ('code', 'variables', 'expected'),
    [
        ('a = 1\na + 1', {}, {'status': 'success', 'output': [], 'return_value': 2}),
        ('print(123)', {}, {'status': 'success', 'output': ['123'], 'return_value': None}),
        ('a', {'a': [1, 2, 3]}, {'status': 'success', 'output': [], 'return_value': [1, 2, 3]}),
        (
            'x + y',
            {'x': 'foo', 'y': 'bar'},
            {'status': 'success', 'output': [], 'return_value': 'foobar'},
        ),
        (
            'print(unknown)',
            {},
            {
                'status': 'run-error',
                'output': [],
                'error': 'Traceback (most recent call last):\n'
                '  File "main.py", line 1, in <module>\n'
                '    print(unknown)\n'
                '          ^^^^^^^\n'
                "NameError: name 'unknown' is not defined\n",
            },
        ),
        (
            'import asyncio\nawait asyncio.sleep(0)\nprint("slept")\n{"a": (1, 2.5)}',
            {},
            {'status': 'success', 'output': ['slept'], 'return_value': {'a': [1, 2.5]}},
        ),
    ],
)
async def test_library_cases(code: str, variables: dict[str, Any], expected: dict[str, Any]) -> None:
    async with code_sandbox.code_sandbox() as sandbox:
        assert await sandbox.eval(code, variables) == expected


async def test_the_mcp_client_in_both_eras() -> None:
    from mcp import Client, StdioServerParameters, stdio_client

    for mode in ['legacy', 'auto', '2026-07-28']:
        server = StdioServerParameters(command=DESK, args=['stdio'])
        async with Client(stdio_client(server), mode=mode) as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            assert names[:2] == ['run_python_code', 'end_python_session']
            for n in range(3):
                result = await client.call_tool('run_python_code', {'python_code': f'{n} ** 2'})
                assert result.structured_content['return_value'] == n**2
