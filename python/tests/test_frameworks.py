"""The adapters in agents of the real frameworks, with fake models."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from mcp_run_python import CodeSandbox, ProgramError, Result, code_sandbox

PNG = b'\x89PNG\r\n\x1a\n' + bytes(20)
CODE = f'open("a.png", "wb").write({PNG!r})\nprint("hello")\nsum(range(10))'


@pytest.fixture
def anyio_backend() -> str:
    """The frameworks run on asyncio only."""
    return 'asyncio'


@pytest.mark.anyio
async def test_pydantic_ai() -> None:
    from mcp_run_python.frameworks.pydantic_ai import toolset
    from pydantic_ai import Agent, BinaryContent
    from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
    from pydantic_ai.models.function import AgentInfo, FunctionModel

    seen: list[Any] = []

    async def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        [tool] = info.function_tools
        assert 'do not stay' in (tool.description or '')
        if len(messages) == 1:
            return ModelResponse(parts=[ToolCallPart(tool.name, {'python_code': CODE})])
        seen.extend(messages[-1].parts)
        return ModelResponse(parts=[TextPart('done')])

    async with code_sandbox() as sandbox:
        agent = Agent(FunctionModel(model), toolsets=[toolset(sandbox)])
        assert (await agent.run('?')).output == 'done'
    returned = next(part for part in seen if isinstance(part, ToolReturnPart))
    assert '<return_value>\n45\n</return_value>' in str(returned.content)
    assert isinstance(returned.metadata, Result)
    content = [item for part in seen for item in (part.content if isinstance(part.content, list) else [])]
    assert BinaryContent(data=PNG, media_type='image/png') in content


@pytest.mark.anyio
async def test_langchain() -> None:
    from langchain_core.messages import ToolCall
    from mcp_run_python.frameworks.langchain import tool

    async with code_sandbox(persistent=True) as sandbox:
        made = tool(sandbox)
        assert list(made.args) == ['python_code']
        assert 'Variables stay' in made.description
        call = ToolCall(name=made.name, args={'python_code': CODE}, id='1', type='tool_call')
        message = await made.ainvoke(call)
    assert '<return_value>\n45\n</return_value>' in message.content
    assert message.artifact.value == 45


@pytest.mark.anyio
async def test_openai_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('OPENAI_AGENTS_DISABLE_TRACING', '1')
    from agents import Agent, Model, ModelResponse, Runner, Usage
    from mcp_run_python.frameworks.openai_agents import tool
    from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

    seen: list[Any] = []

    class TwoSteps(Model):
        async def get_response(self, *_args: Any, **options: Any) -> ModelResponse:
            seen.extend(item['output'] for item in options['input'] if item.get('type') == 'function_call_output')
            if seen:
                text = ResponseOutputText(type='output_text', text='done', annotations=[])
                message = ResponseOutputMessage(
                    id='m', type='message', role='assistant', status='completed', content=[text]
                )
                return ModelResponse(output=[message], usage=Usage(), response_id=None)
            arguments = json.dumps({'python_code': CODE})
            name = options['tools'][0].name
            call = ResponseFunctionToolCall(type='function_call', call_id='c', name=name, arguments=arguments)
            return ModelResponse(output=[call], usage=Usage(), response_id=None)

        def stream_response(self, *_args: Any, **_options: Any) -> AsyncIterator[Any]:
            raise NotImplementedError

    async with code_sandbox() as sandbox:
        agent = Agent(name='python', model=TwoSteps(), tools=[tool(sandbox)])
        assert (await Runner.run(agent, '?')).final_output == 'done'
    text, image = seen[0]
    assert '<return_value>\n45\n</return_value>' in text['text']
    assert image['image_url'].startswith('data:image/png;base64,')


def test_smolagents() -> None:
    from mcp_run_python.frameworks.smolagents import Executor
    from smolagents import ChatMessage, CodeAgent, MessageRole, Model, tool  # type: ignore[import-untyped]

    @tool  # type: ignore[untyped-decorator]
    def double(n: int) -> int:
        """Doubles.

        Args:
            n: A number.
        """
        return 2 * n

    steps = iter(
        [
            'import os\nx = double(given)\nprint(x)',
            '1 / 0',
            'try:\n    final_answer({"x": x, "uid": os.getuid()})\nexcept Exception:\n    pass',
        ]
    )
    seen: list[str] = []

    class Steps(Model):  # type: ignore[misc]
        def generate(self, messages: list[Any], *_args: Any, **_options: Any) -> ChatMessage:
            seen.append(str(messages[-1].content))
            return ChatMessage(role=MessageRole.ASSISTANT, content=f'<code>\n{next(steps)}\n</code>')

    with CodeSandbox.sync(persistent=True) as sandbox:
        agent = CodeAgent(tools=[double], model=Steps(), executor=Executor(sandbox), verbosity_level=0)
        assert agent.run('?', additional_args={'given': 21}) == {'x': 42, 'uid': 1000}
        assert '42' in seen[1]
        assert 'ZeroDivisionError' in seen[2]
        with pytest.raises(ValueError, match='only what JSON has'):
            Executor(sandbox).send_variables({'x': object()})
        with pytest.raises(ProgramError, match='SyntaxError'):
            Executor(sandbox)('x =')
    with CodeSandbox.sync() as plain, pytest.raises(ValueError, match='persistent=True'):
        Executor(plain)
