"""Figures and images, as PNG."""

import io
import sys
from typing import Any


def name_of(value: object) -> str | None:
    """The name of a matplotlib figure or a Pillow image; None if the value is neither."""
    if _is(value, 'matplotlib.figure', 'Figure'):
        number = getattr(value, 'number', None)
        return f'figure {number}' if isinstance(number, int) else 'the figure'
    return 'the image' if _is(value, 'PIL.Image', 'Image') else None


def open_figures() -> list[Any]:
    """The open figures of pyplot, in the order of their numbers."""
    pyplot = sys.modules.get('matplotlib.pyplot')
    return [] if pyplot is None else [pyplot.figure(number) for number in pyplot.get_fignums()]


def close_all() -> None:
    """Closes all figures of pyplot."""
    if pyplot := sys.modules.get('matplotlib.pyplot'):
        pyplot.close('all')


def png(what: Any) -> bytes:
    """A figure or image as PNG."""
    file = io.BytesIO()
    if hasattr(what, 'savefig'):
        what.savefig(file, format='png')
    else:
        # PNG has no CMYK, YCbCr and the like.
        (what if what.mode in {'1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'I', 'I;16'} else what.convert('RGBA')).save(
            file, format='png'
        )
    return file.getvalue()


def _is(value: object, module: str, name: str) -> bool:
    """Whether `value` is of a class in a module, which need not have been imported."""
    found = getattr(sys.modules.get(module), name, None)
    return isinstance(found, type) and isinstance(value, found)
