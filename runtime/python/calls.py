"""Calls from a running program to the host, by the module `_host`. It is private: no program is told of it."""

import sys
from contextlib import suppress
from io import TextIOBase
from json import dumps, loads  # by name: a program may replace json's
from types import ModuleType
from typing import Any, TextIO

from pyodide.ffi import run_sync

# The exceptions that an answer may raise.
_ERRORS = {
    error.__name__: error
    for error in (
        ConnectionError,
        FileNotFoundError,
        KeyError,
        LookupError,
        NotImplementedError,
        OSError,
        PermissionError,
        RuntimeError,
        TimeoutError,
        TypeError,
        ValueError,
    )
}

# The name that `stdin` calls.
_INPUT = 'input'

# JavaScript's side: calls.js.
_host: Any = None
_names: frozenset[str] = frozenset()


def offer(host: object, names: str) -> None:
    """Lets a run call `names`, a JSON list."""
    global _host, _names
    _host, _names = host, frozenset(loads(names))
    module = ModuleType('_host', __doc__)
    vars(module).update(call=call, call_sync=call_sync)
    sys.modules['_host'] = module


def withdraw() -> None:
    """Ends the calls of a run: functions that its program kept call nothing any more."""
    global _names
    _names = frozenset()
    sys.modules.pop('_host', None)


async def call(name: str, /, **arguments: object) -> object:
    """Calls a function of the host."""
    host, call_id = _host, _begin(name, arguments)
    try:
        return _value(await host.answered(call_id))
    except BaseException:
        host.cancel(call_id)
        raise


def call_sync(name: str, /, **arguments: object) -> object:
    """Calls a function of the host from code that cannot await: it waits on its stack."""
    host, call_id = _host, _begin(name, arguments)
    try:
        return _value(run_sync(host.answered(call_id)))
    except BaseException:
        host.cancel(call_id)
        raise


def stdin(otherwise: TextIO) -> TextIO:
    """The program's stdin: it asks a person for each line, if this run may ask."""
    return _Asked() if _INPUT in _names else otherwise  # type: ignore[return-value]


class _Asked(TextIOBase):
    """A stdin that asks for each line when it is read, with the text before the cursor as the prompt."""

    encoding, errors = 'utf-8', 'strict'
    _line = ''

    def readable(self) -> bool:
        return True

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]
        if not self._line:
            with suppress(Exception):
                # The stream may be the program's own.
                sys.stdout.flush()
            line = call_sync(_INPUT, prompt=_host.unfinished())
            if line is None:
                return ''
            self._line = f'{line}\n'
            # Echoes the line, as a terminal does.
            print(line, file=sys.__stdout__, flush=True)
        end = len(self._line) if size is None or size < 0 else size
        line, self._line = self._line[:end], self._line[end:]
        return line

    def read(self, size: int | None = -1, /) -> str:
        return ''.join(iter(self.readline, '')) if size is None or size < 0 else self.readline(size)


def _begin(name: str, arguments: dict[str, object]) -> int:
    if name not in _names:
        raise PermissionError(f'this run may not call {name!r}')
    call_id = _host.begin(name, dumps(arguments, allow_nan=False))
    if isinstance(call_id, str):
        raise RuntimeError(call_id)
    return call_id


def _value(text: str) -> object:
    answer = loads(text)
    if error := answer.get('error'):
        raise _ERRORS.get(error['type'], RuntimeError)(error['message'])
    return loads(answer['value'])
