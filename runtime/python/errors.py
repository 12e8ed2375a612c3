"""Writes the traceback of an uncaught error, without the frames of Pyodide and of this package.

**Boundary.** An exception is the program's: its attributes and methods may do anything. Callers catch everything.
"""

import re
import traceback
from collections.abc import Iterator

# If a traceback has more lines than this, most frames of libraries are left out.
LONG = 40

# How many of the last frames of libraries stay: for the error itself, and for each of its causes.
LAST, LAST_OF_CAUSES = 3, 1

# How many of the program's own frames stay at the beginning and at the end, not counting repeats of the same line.
OWN = 10

# Frames of Pyodide and of this package, by their files, and as text. In exception groups the text has a margin.
_HIDDEN = ('/_pyodide/', '/site-packages/_sandbox/')
_HIDDEN_FRAMES = re.compile(
    r'^((?: *\| )?) {2}File "(?:/lib/python\d+\.zip/_pyodide/|/lib/python[\d.]+/site-packages/_sandbox/).*\n'
    r'(?:\1 {4}.*\n)*',
    re.MULTILINE,
)

# Where the standard library and packages are. All else is the program's, such as what it wrote to its folder.
_LIBRARIES = ('/lib/', '<frozen ')


class _Shortened(traceback.StackSummary):
    """Frames of which some were left out."""

    # How many frames come before those that were left out, and how many were left out.
    at = left_out = 0

    def format(self, **options: object) -> list[str]:
        begin, end = (traceback.StackSummary(part).format(**options) for part in (self[: self.at], self[self.at :]))
        return [*begin, f'  [{self.left_out} more frames]\n', *end]


def write(error: BaseException) -> str:
    """The traceback of an error, and of its causes."""
    told = traceback.TracebackException.from_exception(error, compact=True)
    # Removed from the text, so that an error without any frame left keeps its heading.
    text = _HIDDEN_FRAMES.sub('', ''.join(told.format()))
    if text.count('\n') <= LONG:
        return text
    for one, last in _all_of(told):
        if one.stack is not None:
            shown = traceback.StackSummary(frame for frame in one.stack if not _is_hidden(frame.filename))
            one.stack = _shortened(shown, last)
    return ''.join(told.format())


def _all_of(told: traceback.TracebackException) -> Iterator[tuple[traceback.TracebackException, int]]:
    """An error, its causes and the errors in groups, each with how many frames of libraries it keeps."""
    seen, open_ = set(), [(told, LAST)]
    while open_:
        one, last = open_.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one, last
        open_.extend((cause, LAST_OF_CAUSES) for cause in (one.__cause__, one.__context__) if cause is not None)
        open_.extend((part, LAST_OF_CAUSES) for part in one.exceptions or ())


def _is_hidden(filename: str) -> bool:
    return filename.startswith('/lib/python') and any(part in filename for part in _HIDDEN)


def is_library(filename: str) -> bool:
    """Whether a file is not the program's."""
    return filename.startswith(_LIBRARIES)


def _shortened(stack: traceback.StackSummary, last: int) -> traceback.StackSummary:
    libraries = [at for at, frame in enumerate(stack) if is_library(frame.filename)]
    # Repeated lines are written once.
    own = [
        at
        for at, frame in enumerate(stack)
        if not is_library(frame.filename)
        and not (at and (frame.filename, frame.lineno) == (stack[at - 1].filename, stack[at - 1].lineno))
    ]
    out = {*libraries[:-last], *own[OWN:-OWN]}
    if not out:
        return stack
    short = _Shortened(frame for at, frame in enumerate(stack) if at not in out)
    short.left_out = len(out)
    # The place of the last frame that was left out.
    short.at = sum(at not in out for at in range(max(out)))
    return short
