"""Results of runs, and how Jupyter shows them."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict, Union
from urllib.parse import unquote

# The server's tools.
TOOL = 'run_python_code'
END_TOOL = 'end_python_session'

# Image formats that contain only pixels, no scripts, and so are safe to show.
SHOWN = ('image/png', 'image/jpeg', 'image/gif', 'image/webp')

# The start of each document that shows what a program displayed: this policy lets it load nothing.
_POLICY = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
    'img-src data:; base-uri \'none\'; form-action \'none\'"><meta name="referrer" content="no-referrer">'
    '<meta http-equiv="x-dns-prefetch-control" content="off">'
)

# Markup that causes DNS lookups or connections in spite of the policy: `<link>`, frames, links that are pressed.
_TAGS = 'link|meta|base|i?frame|frameset|fencedframe|portal|object|embed'
_ASKING = (
    (re.compile(rf'<(?=(?:{_TAGS})(?![a-z]))', re.IGNORECASE), '<x-'),
    (re.compile(r'href(?=\s*=\s*(?!["\']?(?:#|data:image/)))', re.IGNORECASE), 'data-href'),
    (re.compile('attributename', re.IGNORECASE), 'data-attribute'),
)

# The prefix of files' URIs in results.
PLACE = 'sandbox:///'

JsonData = Union[str, bool, int, float, None, 'list[JsonData]', 'dict[str, JsonData]']


class RunSuccess(TypedDict):
    """The result of a program that succeeded, in the original's format. `output` has one entry a line."""

    status: Literal['success']
    output: list[str]
    return_value: JsonData


class RunError(TypedDict):
    """The result of a program that failed, or whose packages could not be installed, in the original's format."""

    status: Literal['install-error', 'run-error']
    output: list[str]
    error: str


@dataclass(frozen=True, repr=False)
class Image:
    """A figure or image that a program showed."""

    data: bytes
    media_type: str = 'image/png'

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """Returns what Jupyter shows: the image, or only text for SVG and other formats that may have scripts."""
        shown = {self.media_type: base64.b64encode(self.data).decode()} if self.media_type in SHOWN else {}
        return {'text/plain': repr(self), **shown}

    def __repr__(self) -> str:
        return f'<{type(self).__name__} {self.media_type!r}, {len(self.data)} bytes>'


@dataclass(frozen=True)
class File:
    """A file that a program created, changed or deleted. `size` is in bytes; `CodeSandbox.read()` returns its bytes."""

    path: str
    change: Literal['created', 'changed', 'deleted']
    size: int
    content: bytes | None = None
    """None if the file was deleted, or is too large for the result."""
    uri: str | None = None
    """Where a large file can be read for a limited time, by `CodeSandbox.read()`."""


@dataclass(frozen=True)
class Result:
    """The result of a run.

    `status` is 'run-error' if the program failed or exceeded a limit, 'install-error' if its packages could not be
    installed. `output` has the lines of stdout and stderr in order, `value` is that of the program's last expression,
    and `error` is the traceback or message of a failure. `files` are those that it created, changed or deleted.
    """

    status: Literal['success', 'install-error', 'run-error']
    output: list[str]
    value: JsonData = None
    error: str | None = None
    images: list[Image] = field(default_factory=list[Image])
    files: list[File] = field(default_factory=list[File])
    text: str = field(default='', repr=False)
    """The whole result as a model reads it, without the content of images and files."""
    display: list[dict[str, JsonData]] = field(default_factory=list['dict[str, JsonData]'])
    """Displayed values, and the value's own display, as MIME bundles. They may be hostile."""

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """Returns what Jupyter shows: output, error or value, what was displayed, and images.

        **Boundary.** All of it is the program's. HTML and SVG are in a frame that runs no scripts and reaches nothing;
        all else is text, also Markdown and LaTeX, which notebooks would turn into HTML and links.
        """
        parts = [('', '\n'.join(self.output)), ('color: #b00', self.error or '')]
        if self.value is not None:
            parts.append(('', repr(self.value)))
        shown = [f'<pre style="{style}">{html.escape(text)}</pre>' for style, text in parts if text]
        shown.extend(_shown(bundle) for bundle in self.display)
        for image in self.images:
            if image.media_type in SHOWN:
                data = base64.b64encode(image.data).decode()
                shown.append(f'<img src="data:{image.media_type};base64,{data}">')
        return {'text/plain': repr(self), **({'text/html': '\n'.join(shown)} if shown else {})}

    def as_dict(self) -> RunSuccess | RunError:
        """Returns the status, the output, and the value or error as a dictionary in the original's format."""
        if self.status == 'success':
            return {'status': self.status, 'output': self.output, 'return_value': self.value}
        return {'status': self.status, 'output': self.output, 'error': self.error or ''}

    def unwrap(self) -> JsonData:
        """Returns the value of the program's last expression.

        Raises:
            ProgramError: The program failed, or its packages could not be installed.
        """
        if self.error is not None:
            raise ProgramError(self.error)
        return self.value


def _shown(bundle: Mapping[str, JsonData]) -> str:
    """Returns HTML that safely shows the richest format of a MIME bundle that can be shown."""
    for kind in ('text/html', 'image/svg+xml'):
        if isinstance(markup := bundle.get(kind), str):
            # Two frames: where a link may lead a frame is up to the enclosing document's policy. Ours allows nothing.
            inner = _frame(_tamed(markup), 'position: fixed; inset: 0; width: 100%; height: 100%; border: 0')
            return _frame(inner, 'width: 100%; height: 20em; resize: vertical; border: 0; background: white')
    for kind in ('text/markdown', 'text/latex'):
        if isinstance(text := bundle.get(kind), str):
            return f'<pre>{html.escape(text)}</pre>'
    return f'<pre>{html.escape(", ".join(bundle))}: in `display`</pre>'


def _tamed(markup: str) -> str:
    """Renames the tags and attributes that cause connections, which no policy prevents.

    **Boundary.** It works on the text, without a parser: in any markup, a tag begins with `<` and its name, and an
    attribute's name is written literally (HTML, section 13.2.5). The element for pages does the same
    (`www/js/element/display.js`).
    """
    for asking, otherwise in _ASKING:
        markup = asking.sub(otherwise, markup)
    return markup


def _frame(markup: str, style: str) -> str:
    """Returns a frame with an opaque origin, without scripts, forms and windows (`sandbox`), that loads nothing."""
    return f'<iframe sandbox="" style="{style}" srcdoc="{html.escape(_POLICY + markup)}"></iframe>'


class ProgramError(Exception):
    """A program failed, or its packages could not be installed. The message is its traceback, or why."""


@dataclass(frozen=True)
class Output:
    """A line of output that a program wrote, without its line break."""

    stream: Literal['stdout', 'stderr']
    text: str


def read(answer: Mapping[str, Any]) -> Result:
    """Reads the result from an answer of the tool.

    Raises:
        ValueError: The answer has no valid result.
    """
    try:
        return _read(answer)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f'the answer is not that of {TOOL}: {error!r}') from error


def piece(answer: Mapping[str, Any]) -> tuple[bytes, int]:
    """Reads a piece of a file, and the size of the whole file in bytes, from an answer to `resources/read`.

    Raises:
        ValueError: The answer has no bytes of a file.
    """
    try:
        (contents,) = answer['contents']
        return base64.b64decode(contents['blob']), int(contents['_meta']['mcp-run-python/size'])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f'the answer has no bytes of a file: {error!r}') from error


def _read(answer: Mapping[str, Any]) -> Result:
    told: dict[str, Any] = answer['structuredContent']
    contents: dict[str, bytes] = {}
    images: list[Image] = []
    for block in answer['content'][1:]:
        if block['type'] == 'image':
            images.append(Image(base64.b64decode(block['data']), block['mimeType']))
        elif block['type'] == 'resource':
            resource = block['resource']
            content = base64.b64decode(resource['blob']) if 'blob' in resource else resource['text'].encode()
            contents[unquote(resource['uri'].removeprefix(PLACE))] = content
    files = [
        File(file['path'], file['change'], file.get('size', 0), contents.get(file['path']), file.get('uri'))
        for file in told.get('files', [])
    ]
    status, output, error = told['status'], told['output'], told.get('error')
    if status not in ('success', 'install-error', 'run-error') or (status == 'success') != (error is None):
        raise ValueError(f'its status is {status!r}')
    lines = [str(line) for line in output]
    display = [dict(bundle) for bundle in told.get('display', [])]
    text = str(answer['content'][0]['text'])
    return Result(status, lines, told.get('return_value'), error, images, files, text, display)
