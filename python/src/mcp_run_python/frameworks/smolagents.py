"""For smolagents: `CodeAgent(..., executor=Executor(sandbox))`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from smolagents import Tool  # type: ignore[import-untyped]
from smolagents.local_python_executor import CodeOutput, PythonExecutor  # type: ignore[import-untyped]
from smolagents.tools import get_tools_definition_code  # type: ignore[import-untyped]

from mcp_run_python._sync import SyncCodeSandbox
from mcp_run_python.results import ProgramError

# Raised to end a program that has its answer. A `BaseException`, so that `except Exception` does not catch it.
FINAL_ANSWER = """
class FinalAnswer(BaseException):
    pass

def final_answer(answer=None):
    global _final_answer
    _final_answer = answer
    raise FinalAnswer
"""


class Executor(PythonExecutor):  # type: ignore[misc]
    """Runs an agent's programs in a sandbox, which is from `CodeSandbox.sync(persistent=True)`.

    The agent's tools run there, too, from their source: those that need the network or this machine fail.
    """

    def __init__(self, sandbox: SyncCodeSandbox) -> None:
        """Uses the given sandbox, which has to be persistent.

        Raises:
            ValueError: It is not persistent.
        """
        if not sandbox.persistent:
            raise ValueError('an agent needs a sandbox that keeps variables: CodeSandbox.sync(persistent=True)')
        self._sandbox = sandbox

    def send_tools(self, tools: dict[str, Tool]) -> None:
        """Defines the agent's tools, and `final_answer`, in the sandbox.

        Raises:
            ProgramError: The source of a tool fails there.
        """
        others = {name: tool for name, tool in tools.items() if name != 'final_answer'}
        self._sandbox.run(get_tools_definition_code(others) + FINAL_ANSWER).unwrap()

    def send_variables(self, variables: Mapping[str, Any]) -> None:
        """Sets variables in the sandbox, by name.

        Raises:
            ValueError: A value cannot be written as JSON.
        """
        try:
            given = json.loads(json.dumps(variables))
        except TypeError as error:
            raise ValueError(f'a sandbox takes only what JSON has: {error}') from error
        if given:
            # The `globals` of a run last for that run only: they are assigned, to stay.
            self._sandbox.run('globals().update(_given)', {'_given': given}).unwrap()

    def __call__(self, code_action: str) -> CodeOutput:
        """Runs a program of the agent; returns its value, or the agent's final answer if it gave one.

        Raises:
            ProgramError: The program failed. The message is its output and the error.
        """
        result = self._sandbox.run(code_action)
        logs = '\n'.join(result.output)
        if result.error is None:
            return CodeOutput(output=result.value, logs=logs, is_final_answer=False)
        if result.error.rstrip().endswith('FinalAnswer'):
            return CodeOutput(output=self._sandbox.run('_final_answer').unwrap(), logs=logs, is_final_answer=True)
        raise ProgramError(f'{logs}\n{result.error}'.strip())
