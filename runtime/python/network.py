"""Explains errors that come from the lack of a network, and names the host.

**Boundary.** Errors, and all that is attached to them, are the program's. Callers catch everything.
"""

import errno
import re
import socket
from collections.abc import Iterator
from types import TracebackType

from .errors import is_library

# Messages of errors for lack of a network: of `fetch` (boot.js), and of Pyodide's event loop and `open_url`.
_SAYS = (
    'the sandbox has no network',
    'sock_connect() is not available',
    'SSL/TLS via create_connection is not yet supported',
    "name 'XMLHttpRequest' is not defined",
)

# Error numbers of Emscripten's made-up kernel for it.
_ERRNOS = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN}

# Variables by which functions of libraries name the host, or the address, that they want to reach.
_VARIABLES = 'host', 'address', 'full_url', 'url', 'URL'

# Addresses that Emscripten makes up for names.
_MADE_UP = '172.29.'

# Modules that fetch data sets.
_DATA_SETS = 'sklearn.datasets.', 'seaborn.', 'nltk.', 'statsmodels.datasets.', 'torchvision.datasets.'

# The most causes or frames, and the most characters of a message, that are read.
_MOST, _LETTERS = 100, 1000

_IN_MESSAGE = re.compile(r"\bhost='([\w.-]{1,253})'|\bconnect to host ([\w.-]{1,253}):")
_IN_ADDRESS = re.compile(
    r'(?:(?:https?|ftp|wss?)://(?:[^/@?#\s]*@)?)?([a-z0-9](?:[\w-]*\.)+[\w-]+|localhost)(?=[:/?#]|$)', re.I
)


def reason(error: BaseException) -> str | None:
    """What to say about an error, if it comes from the lack of a network."""
    errors = list(_chain(error))
    if any(type(one) is LookupError and re.match(r'[\s*]*Resource .{1,99} not found', _text(one)) for one in errors):
        return f'There is no network here: {_data_set("nltk")}'
    if not any(map(_is_of_network, errors)):
        return None
    host = next((host for one in errors for host in _hosts(one)), None)
    modules = [module for one in errors for module, _ in _frames(one)]
    if found := next((name for module in modules for name in _DATA_SETS if f'{module}.'.startswith(name)), None):
        return f'There is no network here{f", so {host} is out of reach" if host else ""}: {_data_set(found)}'
    return (
        f'There is no network here{f", so {host} is out of reach" if host else ""}: give the program its data as files.'
    )


def _data_set(library: str) -> str:
    others = ', or use one that is installed with the package, such as load_iris()' if 'sklearn' in library else ''
    return f'a data set that has to be downloaded cannot be had. Give the program its data as files{others}.'


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, the causes that its traceback shows, and the errors in groups."""
    open_ = [error]
    for _ in range(_MOST):
        if not open_:
            break
        one = open_.pop(0)
        yield one
        if cause := one.__cause__ or (None if one.__suppress_context__ else one.__context__):
            open_.append(cause)
        if isinstance(one, BaseExceptionGroup):
            open_.extend(one.exceptions[:_MOST])


def _text(error: BaseException) -> str:
    return f'{error}'[:_LETTERS]


def _is_of_network(error: BaseException) -> bool:
    if isinstance(error, socket.gaierror) or (isinstance(error, OSError) and error.errno in _ERRNOS):
        return True
    return any(words in _text(error) for words in _SAYS)


def _hosts(error: BaseException) -> Iterator[str]:
    for found in (getattr(error, 'host', None), getattr(getattr(error, 'request', None), 'url', None)):
        # The URL of httpx is an object.
        if match := found and _IN_ADDRESS.match(str(found)[:_LETTERS]):
            yield match[1]
    if match := _IN_MESSAGE.search(_text(error)):
        yield match[1] or match[2]
    # The innermost frame is the nearest to the failure.
    for _, variables in reversed(list(_frames(error))):
        for found in map(variables.get, _VARIABLES):
            if isinstance(found, tuple) and found:
                found = found[0]
            if type(found) is str and not found.startswith(_MADE_UP) and (match := _IN_ADDRESS.match(found[:_LETTERS])):
                yield match[1]


def _frames(error: BaseException) -> Iterator[tuple[str, dict[str, object]]]:
    """Modules and variables of the frames of libraries, the outermost first."""
    at: TracebackType | None = error.__traceback__
    for _ in range(_MOST):
        if at is None:
            break
        if is_library(at.tb_frame.f_code.co_filename):
            yield str(at.tb_frame.f_globals.get('__name__')), at.tb_frame.f_locals
        at = at.tb_next
