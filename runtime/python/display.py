"""Shows values of a program, by the MIME bundles that IPython would make of them, and figures and images.

**Boundary.** A value is the program's: its methods may do anything. What they raise does not fail the run. What leaves
is bounded here for honest programs, and once more by the core for all others (`src/run/decoder.rs`).
"""

import base64
import builtins
import contextlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from json import dumps  # by name: a program may replace json's
from typing import Any

from . import images, table
from .to_json import to_unicode

# The types of a bundle that are texts, and the method of a value that returns each.
_TEXTS = {
    'text/html': '_repr_html_',
    'text/markdown': '_repr_markdown_',
    'text/latex': '_repr_latex_',
    'image/svg+xml': '_repr_svg_',
}

# The types that are pixels: the first one found becomes an image of the result.
_PIXELS = {'image/png': '_repr_png_', 'image/jpeg': '_repr_jpeg_'}

# The types that are JSON.
_PLOTLY = 'application/vnd.plotly.v1+json'
_VEGA_LITE = {number: f'application/vnd.vegalite.v{number}+json' for number in ('5', '6')}
_SPECS = (_PLOTLY, *_VEGA_LITE.values())
_VEGA_LITE_SCHEMA = re.compile(r'https://vega\.github\.io/schema/vega-lite/v(\d+)\b')

# Types of values that are shown by their text alone.
_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset})

# The real bases and members of a class: its metaclass may lie about them.
_BASES: Callable[[type], tuple[type, ...]] = type.__dict__['__mro__'].__get__
_MEMBERS: Callable[[type], Mapping[str, Any]] = type.__dict__['__dict__'].__get__

# Whether a signal ended the run: then no further method of a value is called. The runner sets it.
interrupted = False


class Show:
    """Sends what one run shows, within its limits."""

    def __init__(self, limits: dict[str, int], emit: Callable[[str], None]) -> None:
        self._limits = limits
        self._emit = emit
        self._images = limits['images']
        self._displays = limits['displays']
        self._bytes = limits['displayAll']
        # Kinds of which something was left out, which was reported.
        self._told: set[str] = set()
        # Figures and images that have been shown: they are kept alive, so that no other gets the identity of one.
        self._shown: list[object] = []

    def value(self, value: object, bundle: dict[str, Any] | None = None, *, again: bool = False) -> bool:
        """Shows a value, or its bundle if that is given; a picture that was shown before only if `again`.

        Returns False if there is nothing but its text.
        """
        if bundle is None:
            if type(value) in _PLAIN:
                return False
            if name := images.name_of(value):
                self.picture(value, name, again=again)
                return True
            bundle = _bundle(value, self._limits)
        texts = {**self._texts(bundle), **self._specs(bundle)}
        if texts:
            self._display(texts)
        pixels = _pixels(bundle)
        if pixels:
            self._image(pixels, 'an image')
        return bool(texts or pixels)

    def picture(self, what: object, name: str, *, again: bool = False) -> None:
        """Shows a figure or an image, unless it was shown before."""
        if any(what is shown for shown in self._shown):
            if not again:
                return
        else:
            self._shown.append(what)
        if not self._images:
            # Left out before it is drawn, as that takes time.
            self._image(b'', name)
            return
        try:
            png = images.png(what)
        except Exception as error:
            if interrupted:
                raise
            with _suppressed():
                _tell(f'[{name} could not be drawn: {type(error).__name__}: {error}]')
        else:
            self._image(png, name)

    def figures(self) -> None:
        """Shows the open figures, and closes them."""
        for figure in images.open_figures():
            self.picture(figure, f'figure {figure.number}')
        images.close_all()

    def _image(self, data: bytes, name: str) -> None:
        if not self._images:
            self._once(f'{name} and what follows left out: at most {self._limits["images"]} images are shown', 'images')
        elif len(data) > (most := self._limits['imageBytes']):
            _tell(f'[{name} left out: {len(data)} bytes, at most {most} are allowed]')
        else:
            self._images -= 1
            self._send({'image': base64.b64encode(data).decode()})

    def _display(self, texts: dict[str, str]) -> None:
        # The size as it is sent, which the host counts, too.
        size = len(dumps({'display': texts}, ensure_ascii=False).encode())
        if not self._displays or size > self._bytes:
            most, all_bytes = self._limits['displays'], self._limits['displayAll']
            self._once(f'what is displayed from here on left out: at most {most}, of {all_bytes} bytes', 'displays')
            return
        self._displays -= 1
        self._bytes -= size
        self._send({'display': texts})

    def _send(self, frame: dict[str, Any]) -> None:
        # Output that was printed before the frame comes before it.
        for stream in (sys.stdout, sys.stderr):
            with _suppressed():
                stream.flush()
        self._emit(dumps(frame, ensure_ascii=False))

    def _texts(self, bundle: dict[str, Any]) -> dict[str, str]:
        found = {kind: to_unicode(bundle[kind]) for kind in _TEXTS if isinstance(bundle.get(kind), str)}
        return {kind: text for kind, text in found.items() if text and self._is_small(kind, text)}

    def _specs(self, bundle: dict[str, Any]) -> dict[str, str]:
        found = {}
        for kind in _SPECS:
            with _suppressed():
                if isinstance(spec := bundle.get(kind), dict):
                    spec = dumps(spec, allow_nan=False, ensure_ascii=False)
                if isinstance(spec, str) and self._is_small(kind, spec := to_unicode(spec)):
                    found[kind] = spec
        return found

    def _is_small(self, kind: str, text: str) -> bool:
        size, most = len(text.encode()), self._limits['displayBytes']
        if size > most:
            self._once(f'{kind} left out: {size} bytes, at most {most} are allowed', kind)
        return size <= most

    def _once(self, what: str, kind: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            _tell(f'[{what}]')


_show: Show | None = None


def begin(limits: dict[str, int], emit: Callable[[str], None]) -> Show:
    """Begins a run; returns what shows its values."""
    global _show, interrupted
    interrupted = False
    _show = Show(limits, emit)
    return _show


def end() -> None:
    """Ends a run: nothing more is shown."""
    global _show
    _show = None


def display(*objects: object, raw: bool = False, **_options: object) -> None:
    """Shows values as IPython's `display` does; `raw`: the objects are bundles by MIME types."""
    for value in objects:
        bundle = value if raw and isinstance(value, dict) else None
        if _show is None or not _show.value(value, bundle, again=True):
            text = bundle.get('text/plain') if bundle is not None else None
            print(text if isinstance(text, str) else repr(value))


def show_figures() -> None:
    """Does what `pyplot.show` is to do here."""
    if _show is not None:
        _show.figures()


def _bundle(value: Any, limits: dict[str, int]) -> dict[str, Any]:
    """The bundle of a value, made by its own methods."""
    for of_library in (_plotly, _altair):
        with _suppressed():
            if bundle := of_library(value):
                return bundle
    made = _call(value, '_repr_mimebundle_', include=None, exclude=None)
    bundle = {}
    if isinstance(made, dict):
        bundle.update({kind: _first(made[kind]) for kind in (*_TEXTS, *_PIXELS, *_SPECS) if kind in made})
    for kind, method in {**_TEXTS, **_PIXELS}.items():
        if bundle.get(kind) is None:
            bundle[kind] = _call(value, method)
    if bundle.get('text/markdown') is None:
        with _suppressed():
            bundle['text/markdown'] = table.markdown(value, limits['tableRows'], limits['tableColumns'])
    return bundle


def _call(value: object, name: str, **arguments: object) -> Any:
    """Calls a method of the value's class, if it has one: those of the instance or by `__getattr__` do not count."""
    kind = type(value)
    for base in _BASES(kind):
        if (method := _MEMBERS(base).get(name, _MEMBERS)) is not _MEMBERS:
            with _suppressed():
                return _first(method.__get__(value, kind)(**arguments))
            return None
    return None


def _first(made: Any) -> Any:
    """The data, without the metadata that may come with it."""
    return made[0] if isinstance(made, tuple) and made else made


def _plotly(value: Any) -> dict[str, Any] | None:
    kind = getattr(sys.modules.get('plotly.basedatatypes'), 'BaseFigure', None)
    # Its own bundle is for the notebook that it believes to be in, and has all of plotly.js.
    return {_PLOTLY: value.to_json()} if isinstance(kind, type) and isinstance(value, kind) else None


def _altair(value: Any) -> dict[str, Any] | None:
    kind = getattr(sys.modules.get('altair'), 'TopLevelMixin', None)
    if not isinstance(kind, type) or not isinstance(value, kind):
        return None
    spec = value.to_dict()
    schema = _VEGA_LITE_SCHEMA.match(spec['$schema'])
    return {_VEGA_LITE[schema[1]]: spec} if schema and schema[1] in _VEGA_LITE else None


def _pixels(bundle: dict[str, Any]) -> bytes | None:
    """A PNG or a JPEG: bytes, or base64 as notebooks keep it."""
    for kind in _PIXELS:
        data = bundle.get(kind)
        with _suppressed():
            if isinstance(data, str):
                data = base64.b64decode(data)
            if isinstance(data, bytes) and data.startswith((b'\x89PNG\r\n\x1a\n', b'\xff\xd8\xff')):
                return data
    return None


@contextlib.contextmanager
def _suppressed() -> Iterator[None]:
    """Suppresses errors within, but not those of a signal that ended the run."""
    try:
        yield
    except Exception:
        if interrupted:
            raise


def _tell(what: str) -> None:
    print(what, file=sys.stderr)


builtins.display = display  # type: ignore[attr-defined]
