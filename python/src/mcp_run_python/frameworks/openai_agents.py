"""For the OpenAI Agents SDK: `Agent(..., tools=[tool(sandbox)])`."""

from __future__ import annotations

from typing import Any

from agents import FunctionTool, ToolOutputImage, ToolOutputText, function_tool

from mcp_run_python.code_sandbox import CodeSandbox

from ._tool import NAME, data_url, description, images


def tool(sandbox: CodeSandbox) -> FunctionTool:
    """Returns a tool that runs Python in the sandbox. It gives the model the result's text and its images."""

    async def run_python_code(python_code: str) -> Any:
        result = await sandbox.run(python_code)
        pictures = [ToolOutputImage(image_url=data_url(image)) for image in images(result)]
        return [ToolOutputText(text=result.text), *pictures] if pictures else result.text

    return function_tool(run_python_code, name_override=NAME, description_override=description(sandbox))
