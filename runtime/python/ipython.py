"""Stands in for IPython where that is not installed: has what programs import from it to show values."""

import importlib.abc
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from .display import display

# The two modules that there are: src/packages/imports.rs knows what is in them.
_PACKAGE = 'IPython'
_DISPLAY = 'IPython.display'


class DisplayObject:
    """A value that is shown as the type of its class."""

    def __init__(
        self, data: Any = None, url: str | None = None, filename: str | None = None, **_options: object
    ) -> None:
        if url is not None:
            raise OSError(f'there is no network to get {url} by')
        self.data = data if filename is None else self._read(Path(filename))

    @staticmethod
    def _read(path: Path) -> Any:
        return path.read_text()


class HTML(DisplayObject):
    """A text as HTML."""

    def _repr_html_(self) -> Any:
        return self.data


class Markdown(DisplayObject):
    """A text as Markdown."""

    def _repr_markdown_(self) -> Any:
        return self.data


class Latex(DisplayObject):
    """A text as LaTeX."""

    def _repr_latex_(self) -> Any:
        return self.data


class Math(Latex):
    """A formula of LaTeX, without the dollars."""

    def __init__(self, data: Any = None, **options: Any) -> None:
        super().__init__(data, **options)
        self.data = f'$\\displaystyle {str(self.data).strip("$")}$'


class SVG(DisplayObject):
    """A text as SVG."""

    def _repr_svg_(self) -> Any:
        return self.data


class Image(DisplayObject):
    """The bytes of a PNG or a JPEG, or the file that has them."""

    def __init__(self, data: Any = None, **options: Any) -> None:
        if isinstance(data, str | Path):
            known = 'url' if str(data).startswith(('https://', 'http://')) else 'filename'
            data, options = None, {known: data, **options}
        super().__init__(data, **options)

    @staticmethod
    def _read(path: Path) -> Any:
        return path.read_bytes()

    def _repr_png_(self) -> Any:
        return self.data


class Pretty(DisplayObject):
    """A text as it is."""

    def __repr__(self) -> str:
        return str(self.data)


class JSON(DisplayObject):
    """Values, as Python writes them."""

    def __repr__(self) -> str:
        return repr(self.data)


def clear_output(*_wait: object, **_named: object) -> None:
    """Does nothing: output stays."""


def get_ipython() -> None:
    """Returns None: there is no IPython shell."""


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the two modules, if no other finder has found them."""

    def find_spec(self, name: str, _path: object, _target: object = None) -> ModuleSpec | None:
        if name == _PACKAGE or (name == _DISPLAY and getattr(sys.modules.get(_PACKAGE), '__loader__', None) is self):
            return ModuleSpec(name, self, is_package=name == _PACKAGE)
        return None

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ == _PACKAGE:
            vars(module).update(display=display, get_ipython=get_ipython, version_info=(0, 0, 0))
            return
        shown = (DisplayObject, HTML, Markdown, Latex, Math, SVG, Image, Pretty, JSON)
        vars(module).update({kind.__name__: kind for kind in shown}, display=display, clear_output=clear_output)


def stand_in() -> None:
    """Makes the two modules importable."""
    sys.meta_path.append(_Finder())
