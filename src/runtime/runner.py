"""Runs one program in a fresh namespace. All that happens in it becomes one JSON text."""

import ast
import asyncio
import json
import linecache
import re
import signal
import sys
import traceback
from typing import Any

from _pyodide._base import eval_code_async

from .to_json import to_json

FILENAME = 'main.py'

# The frames of Pyodide and of this file, which are nobody's business: as the original removes them.
_OWN_FRAMES = re.compile(r' {2}File "(?:/lib/python\d+\.zip/_pyodide/|[^"]*runner\.py").*\n {4}.*\n(?: {4}.*\n)*')

_stdout, _stderr, _stdin = sys.stdout, sys.stderr, sys.stdin
_task: asyncio.Task[Any] | None = None
_stopped_by: BaseException | None = None


def renew() -> None:
    """Makes anew what a snapshot froze: every generator of randomness. The clock needs nothing."""


async def run(code: str, global_variables: str, max_bytes: int) -> str:
    """Runs `code`; gives the JSON of how it ended: `status` and `text`, `json` or `error`."""
    namespace = {**json.loads(global_variables), '__name__': '__main__'}
    try:
        value = await eval_code_async(code, namespace, filename=FILENAME)
        ended = {'status': 'success', **_returned(value)}
    except BaseException as error:
        ended = {'status': 'run-error', 'error': _traceback(error)}
    sys.stdout.flush()
    sys.stderr.flush()
    return json.dumps(ended)


def cancel() -> None:
    """Cancels the run's task."""


def _returned(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if isinstance(value, str):
        return {'text': value}
    return {'json': to_json(value)}


def _traceback(error: BaseException) -> str:
    return _OWN_FRAMES.sub('', ''.join(traceback.format_exception(error)))
