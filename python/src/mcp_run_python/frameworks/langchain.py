"""For LangChain: `create_agent(model, [tool(sandbox)])`."""

from __future__ import annotations

from langchain_core.tools import StructuredTool

from mcp_run_python.code_sandbox import CodeSandbox
from mcp_run_python.results import Result

from ._tool import NAME, description


def tool(sandbox: CodeSandbox) -> StructuredTool:
    """Returns a tool that runs Python in the sandbox, for async agents. Its message's artifact is the `Result`."""

    async def run_python_code(python_code: str) -> tuple[str, Result]:
        result = await sandbox.run(python_code)
        return result.text, result

    return StructuredTool.from_function(  # pyright: ignore[reportUnknownMemberType]
        coroutine=run_python_code,
        name=NAME,
        description=description(sandbox),
        response_format='content_and_artifact',
    )
