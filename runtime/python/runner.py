"""Runs one program, in a fresh or a kept namespace. Its outcome, whatever it is, becomes one JSON text."""

import asyncio
import contextlib
import gc
import importlib
import inspect
import linecache
import logging
import os
import random
import signal
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from io import BufferedReader, BufferedWriter, FileIO, TextIOWrapper
from json import dumps, loads  # by name: a program may replace json's
from types import FrameType, ModuleType
from typing import Any
from zipimport import zipimporter

from pyodide.ffi import ConversionError

from . import calls, display, errors, ipython, lacks, stdlib
from . import matplotlib_backend as matplotlib_backend  # in the snapshot: pyplot looks it up
from .program import evaluate
from .to_json import to_json, to_unicode

FILENAME = 'main.py'

# Imported here, so that they are in the snapshot and cost a program nothing.
PRELOADED = (
    'abc bisect calendar collections collections.abc contextlib copy csv dataclasses datetime decimal enum fractions '
    'functools hashlib heapq importlib.metadata inspect io itertools math operator os pathlib pprint statistics string '
    'struct textwrap types typing urllib.parse zoneinfo'
).split()

# Where packages are mounted: packages.js.
PACKAGES = '/lib/python{}.{}/packages'.format(*sys.version_info)

# Modules that draw random numbers when they are imported, and how to draw new ones.
RENEWED: dict[str, Callable[[Any], object]] = {
    'multiprocessing.process': lambda process: process.current_process()._config.update(
        authkey=process.AuthenticationString(os.urandom(32))
    ),
    'numpy.random': lambda random: random.seed(),
    # It draws them for the examples in its documentation, and does not use them.
    'scipy.stats': lambda _: None,
    # It draws them for default arguments of its own classes, which it never relies on.
    'sklearn.ensemble': lambda _: None,
    'sympy.core.random': lambda random: random.rng.seed(),
}

# How long tasks that a program left behind may take to end once they are cancelled, in seconds.
LEAVE = 1.0

# How many bytes the frame of a run's end may have besides its value.
MARGIN = 1024


class _Program(ModuleType):
    """The module `__main__`, with the program's namespace. Like a script, it has a `__file__`, but no such variable."""

    __file__ = FILENAME


# stdin, stdout and stderr, and the options that each was opened with, by their file numbers.
_streams = [sys.stdin, sys.stdout, sys.stderr]
_OPENED = [
    {name: getattr(stream, name) for name in ('encoding', 'errors', 'line_buffering', 'write_through')}
    for stream in _streams
]
# Pyodide's own `__main__`, in place between runs.
_main = sys.modules['__main__']
_task: asyncio.Task[object] | None = None
_program = _Program('__main__')
_limits: dict[str, Any] = {}
# The signal that ended the program.
_ended_by = 0
# Whether the program's code is running, which a signal may interrupt, and not this module's.
_interruptible = False
# The signal that came before the program began.
_held = 0


def renew() -> None:
    """Renews what a snapshot froze: every source of randomness, start times, and caches of imports."""
    random.seed()
    tempfile._name_sequence = None
    uuid._node = uuid._last_timestamp = None
    logging._startTime = time.time_ns()
    lacks.renew()
    for name, draw in RENEWED.items():
        if module := sys.modules.get(name):
            draw(module)
    # Packages may have changed. The standard library's archive has not, and reading its directory takes long.
    archives = {path: finder for path, finder in sys.path_importer_cache.items() if isinstance(finder, zipimporter)}
    for path in archives:
        del sys.path_importer_cache[path]
    importlib.invalidate_caches()
    sys.path_importer_cache.update(archives)


def preload(modules: str, drawn: Callable[[], int] | None = None) -> str | None:
    """Imports modules, a JSON list of names, for the snapshot that is about to be made.

    `drawn` tells how often random numbers were drawn. Returns the first module that draws some which `renew` does not
    draw anew: they would be the same in each interpreter.
    """
    for name in loads(modules):
        before = drawn() if drawn else 0
        importlib.import_module(name)
        if drawn and drawn() > before and not any(known.startswith(name) for known in RENEWED):
            return name
    if font_manager := sys.modules.get('matplotlib.font_manager'):
        # Closes its open files, which no snapshot keeps.
        font_manager._get_font.cache_clear()
    gc.collect()
    # Imported modules stay: the garbage collector need not look at them again.
    gc.freeze()
    return None


def run(
    code: str, global_variables: str, keep: bool, limits: str, emit: Callable[[str], None]
) -> str | asyncio.Task[str]:
    """Runs `code`; returns its last frame: `status`, and `text`, `json` or `error`. `emit` takes what it shows.

    A program that awaits nothing has ended when this returns; for others, it returns the task that goes on.
    """
    global _held
    _held = 0
    for signum in (signal.SIGINT, signal.SIGALRM, signal.SIGXCPU):
        signal.signal(signum, _on_signal)
    task = asyncio.Task(
        _run(code, global_variables, keep, limits, emit), loop=asyncio.get_running_loop(), eager_start=True
    )
    return task.result() if task.done() else task


async def _run(code: str, global_variables: str, keep: bool, limits: str, emit: Callable[[str], None]) -> str:
    global _task, _limits, _ended_by, _interruptible
    task = _task = asyncio.current_task()
    _limits, _ended_by = loads(limits), 0
    max_bytes, max_depth = _limits['value'], _limits['depth']
    _open_streams()
    linecache.cache.pop(FILENAME, None)
    before = asyncio.all_tasks()
    show = display.begin(_limits, emit)
    value = None
    try:
        namespace = _begin(keep, loads(global_variables))
        _interruptible = True
        if _held:
            raise _interruption(_held)
        value = await evaluate(code, namespace, FILENAME)
        while inspect.isawaitable(value):
            value = await value
        ended = {'status': 'success', **_returned(value, max_bytes, max_depth)}
        _interruptible = False
    except BaseException as error:
        _interruptible = False
        ended = _failed(error, max_bytes)
    # Drawing runs the program's code, too: a failure in it does not fail the run.
    with _program_code():
        show.figures()
        show.value(value)
    display.end()
    _task = None
    with _program_code():
        await _leave(asyncio.all_tasks() - before - {task})
    for stream in (*_streams[1:], sys.stdout, sys.stderr):
        # May be the program's own stream: a failure in it does not fail the run.
        with _program_code():
            stream.flush()
    sys.modules['__main__'] = _main
    end = dumps({'end': ended}, ensure_ascii=False)
    if len(end.encode()) > 2 * max_bytes + MARGIN:
        # Control characters take six bytes each. The host accepts no more.
        error = f'ValueError: the return value, as it is sent, is longer than {2 * max_bytes} bytes'
        end = dumps({'end': {'status': 'run-error', 'error': error}})
    return end


def _begin(keep: bool, variables: dict[str, object]) -> dict[str, object]:
    """Makes the program `__main__`, in a fresh namespace or in that of the run before; returns the namespace."""
    global _program
    if not keep:
        _program = _Program('__main__')
        # A program's namespace begins with only its variables and `__name__`.
        vars(_program).clear()
    sys.modules['__main__'] = _program
    vars(_program).update(variables, __name__='__main__')
    return vars(_program)


def _open_streams() -> None:
    """Gives a run its streams; reopens those that a program before has closed or detached: `exit()` closes stdin."""
    for number, stream in enumerate(_streams):
        # A detached stream raises ValueError when it is asked whether it is closed.
        with contextlib.suppress(ValueError):
            if not stream.closed:
                continue
        file = FileIO(number, 'w' if number else 'r', closefd=False)
        _streams[number] = TextIOWrapper((BufferedWriter if number else BufferedReader)(file), **_OPENED[number])
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = _streams
    sys.stdin, sys.stdout, sys.stderr = calls.stdin(_streams[0]), *_streams[1:]


def cancel(signum: int) -> bool:
    """Ends a run that only waits, as no bytecode runs that sees a signal. False: it does not wait in an `await`."""
    global _ended_by
    if _task is None or _task._fut_waiter is None:
        return False
    _ended_by = signum
    return _task.cancel()


@contextlib.contextmanager
def _program_code() -> Iterator[None]:
    """Lets signals interrupt the code within, and suppresses its failures."""
    global _interruptible
    with contextlib.suppress(BaseException):
        try:
            _interruptible = True
            yield
        finally:
            _interruptible = False


def _on_signal(signum: int, frame: FrameType | None) -> None:
    global _held, _ended_by
    if not _interruptible:
        _held = signum
        return
    display.interrupted = True
    _ended_by = signum
    if _task is not None and _is_event_loop(frame):
        # The loop would print an exception, and forget what it was about to wake: the run would never end.
        _task.cancel()
        return
    if asyncio.current_task() is not _task:
        # In a callback, or another task: its end does not end the wait of the program.
        cancel(signum)
    raise _interruption(signum)


def _is_event_loop(frame: FrameType | None) -> bool:
    """Whether a stack has nothing on it but the event loop's own code."""
    while frame and str(frame.f_globals.get('__name__')).startswith(('asyncio.', 'pyodide.')):
        frame = frame.f_back
    return frame is None


def _interruption(signum: int) -> BaseException:
    if signum == signal.SIGINT:
        return KeyboardInterrupt()
    if signum == signal.SIGXCPU:
        return TimeoutError(f'the run used more than its fuel of {_limits["fuel"]}')
    return TimeoutError(f'the run took longer than {_limits["time"] / 1000:g} s')


async def _leave(tasks: set[asyncio.Task[object]]) -> None:
    """Cancels the tasks that a program left running: they must not print into another run's output."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=LEAVE)


def _returned(value: object, max_bytes: int, max_depth: int) -> dict[str, str]:
    if value is None:
        return {}
    if isinstance(value, str):
        text = to_unicode(value)
        if (size := len(text.encode())) > max_bytes:
            raise ValueError(f'the return value is {size} bytes long, and at most {max_bytes} are allowed')
        return {'text': text}
    return {'json': to_json(value, max_bytes, max_depth)}


def _failed(error: BaseException, max_bytes: int) -> dict[str, str]:
    if isinstance(error, SystemExit) and not error.code:
        return {'status': 'success'}
    # A signal that comes while a value is converted for JavaScript becomes a ConversionError.
    if _ended_by and isinstance(error, asyncio.CancelledError | ConversionError):
        error = _interruption(_ended_by).with_traceback(error.__traceback__)
    try:
        text = errors.write(error)
    except BaseException as broken:
        text = f'{type(error).__name__}: its traceback could not be written ({type(broken).__name__})\n'
    # An error of the program may be anything.
    with contextlib.suppress(BaseException):
        # In the place of a note of the error; with a group of errors, at the end.
        if reason := _memory_note() if isinstance(error, MemoryError) else lacks.reason(error):
            text += f'{reason}\n'
    return {'status': 'run-error', 'error': _cut(to_unicode(text), max_bytes)}


def _memory_note() -> str:
    if budget := _limits.get('budget'):
        return f'The memory of the interpreter, packages and files together are limited to {budget / 2**20:g} MB.'
    return f'The memory of the interpreter is limited to {_limits["memory"] / 2**20:g} MB.'


def _cut(text: str, max_bytes: int) -> str:
    """The beginning and the end of a text, and how much was left out between them."""
    if len(text) <= max_bytes // 4 or len(encoded := text.encode()) <= max_bytes:
        return text
    half = max_bytes // 2
    begin, end = encoded[:half].decode(errors='ignore'), encoded[-half:].decode(errors='ignore')
    return f'{begin}\n[error cut: {len(encoded) - 2 * half} more bytes]\n{end}'


# Not true here: the figure is shown, with the result.
warnings.filterwarnings('ignore', 'FigureCanvasAgg is non-interactive, and thus cannot be shown')
for _name in PRELOADED:
    importlib.import_module(_name)
sys.path.append(PACKAGES)
lacks.make_up()
ipython.stand_in()
stdlib.name_sources()
