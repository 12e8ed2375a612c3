"""What is told of an uncaught error: its traceback, without the frames that are nobody's business.

**Boundary.** An exception is the program's: its attributes and methods may do anything. Whoever calls this catches all.
"""

import re
import traceback
from collections.abc import Iterator

# Of a traceback that is longer, in lines, most frames of libraries are left out.
LONG = 40

# How many frames of libraries stay: the last ones, of the error itself and of each that it came from.
LAST, LAST_OF_CAUSES = 3, 1

# How many of the program's own frames stay, at the beginning and at the end, of those that are not the same line again.
OWN = 10

# Pyodide's frames around a program, and those of this package; and as they are written. Those of groups have a margin.
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

    # How many come before those that were left out, and how many those are.
    at = left_out = 0

    def format(self, **options: object) -> list[str]:
        begin, end = (traceback.StackSummary(part).format(**options) for part in (self[: self.at], self[self.at :]))
        return [*begin, f'  [{self.left_out} more frames]\n', *end]


def write(error: BaseException) -> str:
    """The traceback of an error, and of those that it came from."""
    told = traceback.TracebackException.from_exception(error, compact=True)
    # Of what is written, as an error keeps its heading where none of its frames is left.
    text = _HIDDEN_FRAMES.sub('', ''.join(told.format()))
    if text.count('\n') <= LONG:
        return text
    for one, last in _all_of(told):
        if one.stack is not None:
            shown = traceback.StackSummary(frame for frame in one.stack if not _is_hidden(frame.filename))
            one.stack = _shortened(shown, last)
    return ''.join(told.format())


def _all_of(told: traceback.TracebackException) -> Iterator[tuple[traceback.TracebackException, int]]:
    """An error, those that it came from, and those in groups of them; how many frames of libraries each keeps."""
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
    """Whether a file is none of the program's."""
    return filename.startswith(_LIBRARIES)


def _shortened(stack: traceback.StackSummary, last: int) -> traceback.StackSummary:
    libraries = [at for at, frame in enumerate(stack) if is_library(frame.filename)]
    # What repeats itself is written once.
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
    # Where the last of them were.
    short.at = sum(at not in out for at in range(max(out)))
    return short
