"""What a program drew: every open figure of matplotlib, and a returned figure or image, as PNG."""

import base64
import io
import sys
from collections.abc import Iterator
from typing import Any


def images(returned: object, most: int, max_bytes: int) -> Iterator[str]:
    """The PNGs, base64, in the order of their numbers; the figures are closed.

    What cannot be drawn, or is too much, is told on stderr.
    """
    drawn = 0
    for name, what in _drawings(returned):
        if drawn == most:
            print(f'[{name} and what follows left out: at most {most} images are shown]', file=sys.stderr)
            break
        try:
            png = _png(what)
        except Exception as error:
            print(f'[{name} could not be drawn: {type(error).__name__}: {error}]', file=sys.stderr)
            continue
        if len(png) > max_bytes:
            print(f'[{name} left out: {len(png)} bytes as PNG, at most {max_bytes} are allowed]', file=sys.stderr)
            continue
        drawn += 1
        yield base64.b64encode(png).decode()
    if pyplot := sys.modules.get('matplotlib.pyplot'):
        pyplot.close('all')


def _drawings(returned: object) -> Iterator[tuple[str, Any]]:
    pyplot = sys.modules.get('matplotlib.pyplot')
    figures = [] if pyplot is None else [pyplot.figure(number) for number in pyplot.get_fignums()]
    for figure in figures:
        yield f'figure {figure.number}', figure
    if _is(returned, 'matplotlib.figure', 'Figure') and returned not in figures:
        yield 'the returned figure', returned
    if _is(returned, 'PIL.Image', 'Image'):
        yield 'the returned image', returned


def _is(value: object, module: str, name: str) -> bool:
    """Whether `value` is of a class in a module, which need not have been imported."""
    found = getattr(sys.modules.get(module), name, None)
    return isinstance(found, type) and isinstance(value, found)


def _png(what: Any) -> bytes:
    file = io.BytesIO()
    if hasattr(what, 'savefig'):
        what.savefig(file, format='png')
    else:
        # PNG knows no CMYK, YCbCr and the like.
        (what if what.mode in {'1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'I', 'I;16'} else what.convert('RGBA')).save(
            file, format='png'
        )
    return file.getvalue()
