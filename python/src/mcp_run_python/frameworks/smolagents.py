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

# The end of a program that has its answer: no program catches it by `except Exception`.
FINAL_ANSWER = """
class FinalAnswer(BaseException):
    pass

def final_answer(answer=None):
    global _final_answer
    _final_answer = answer
    raise FinalAnswer
"""


class Executor(PythonExecutor):  # type: ignore[misc]
    """Runs an agent's programs in a sandbox: `CodeSandbox.sync(persistent=True)`.

    Tools run there, too, from their source: those that need the network, or this machine, fail.
    """

    def __init__(self, sandbox: SyncCodeSandbox) -> None:
        """Takes a sandbox that is persistent.

        Raises:
            ValueError: It is not.
        """
        if not sandbox.persistent:
            raise ValueError('an agent needs a sandbox that keeps variables: CodeSandbox.sync(persistent=True)')
        self._sandbox = sandbox

    def send_tools(self, tools: dict[str, Tool]) -> None:
        """Defines the agent's tools in the sandbox."""
        others = {name: tool for name, tool in tools.items() if name != 'final_answer'}
        self._sandbox.run(get_tools_definition_code(others) + FINAL_ANSWER).unwrap()

    def send_variables(self, variables: Mapping[str, Any]) -> None:
        """Sets variables there.

        Raises:
            ValueError: One has no form in JSON.
        """
        try:
            given = json.loads(json.dumps(variables))
        except TypeError as error:
            raise ValueError(f'a sandbox takes only what JSON has: {error}') from error
        if given:
            # As assignments, since they are to stay.
            self._sandbox.run('globals().update(_given)', {'_given': given}).unwrap()

    def __call__(self, code_action: str) -> CodeOutput:
        """Runs a program.

        Raises:
            ProgramError: It failed; the text is what it wrote, and the error.
        """
        result = self._sandbox.run(code_action)
        logs = '\n'.join(result.output)
        if result.error is None:
            return CodeOutput(output=result.value, logs=logs, is_final_answer=False)
        if result.error.rstrip().endswith('FinalAnswer'):
            return CodeOutput(output=self._sandbox.run('_final_answer').unwrap(), logs=logs, is_final_answer=True)
        raise ProgramError(f'{logs}\n{result.error}'.strip())
