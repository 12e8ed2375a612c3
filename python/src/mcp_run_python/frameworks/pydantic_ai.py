"""For Pydantic AI: `Agent(..., toolsets=[toolset(sandbox)])`."""

from __future__ import annotations

from typing import Any

from pydantic_ai import BinaryContent, FunctionToolset, Tool, ToolReturn

from mcp_run_python.code_sandbox import CodeSandbox

from ._tool import NAME, description, images


def toolset(sandbox: CodeSandbox) -> FunctionToolset[Any]:
    """Returns a toolset with one tool, which runs Python in the sandbox.

    It gives the model the result's text and its images; `metadata` of its `ToolReturn` is the `Result`.
    """

    async def run_python_code(python_code: str) -> ToolReturn:
        result = await sandbox.run(python_code)
        pictures = [BinaryContent(data=image.data, media_type=image.media_type) for image in images(result)]
        return ToolReturn(return_value=result.text, content=pictures or None, metadata=result)

    tool: Tool[Any] = Tool(run_python_code, takes_ctx=False, name=NAME, description=description(sandbox))
    return FunctionToolset([tool])
