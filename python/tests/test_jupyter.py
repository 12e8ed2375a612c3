"""What Jupyter shows of results, according to IPython's own formatter."""

import base64
from html.parser import HTMLParser
from typing import Any

import pytest
from IPython.core.formatters import DisplayFormatter
from mcp_run_python import Image, Result, code_sandbox

pytestmark = pytest.mark.anyio

PNG = b'\x89PNG\r\n\x1a\n' + bytes(20)


def shown(value: object) -> dict[str, Any]:
    data, _ = DisplayFormatter().format(value)  # type: ignore[no-untyped-call]
    found: dict[str, Any] = data
    return found


async def test_a_result_and_its_images() -> None:
    # Plotting packages need the network: an image file that the program writes stands in for a figure.
    code = f'open("a.png", "wb").write({PNG!r})\nprint("<script>")\n"<b>"'
    async with code_sandbox() as sandbox:
        result = await sandbox.run(code)
        failed = await sandbox.run('raise ValueError("<i>")')
    html = shown(result)['text/html']
    assert '<pre style="">&lt;script&gt;</pre>' in html
    assert '&#x27;&lt;b&gt;&#x27;' in html
    [image] = result.images
    assert f'<img src="data:image/png;base64,{base64.b64encode(PNG).decode()}">' in html
    assert base64.b64decode(shown(image)['image/png']) == PNG
    assert shown(image)['text/plain'] == "<Image 'image/png', 28 bytes>"
    assert 'ValueError: &lt;i&gt;' in shown(failed)['text/html']


async def test_what_a_program_displays() -> None:
    code = """class Value:
    def __init__(self, **texts): self.texts = texts
    def _repr_mimebundle_(self, **_): return {f'text/{kind}': text for kind, text in self.texts.items()}
    def __repr__(self): return 'value'
display(Value(markdown='[x](javascript:1) <b>'), {'application/vnd.plotly.v1+json': {'data': []}}, raw=False)
display({'application/vnd.plotly.v1+json': {'data': [{'y': [1, 2.5]}]}}, raw=True)
Value(html='<script>1</script>"\\'&quot;', markdown='*')"""
    async with code_sandbox() as sandbox:
        result = await sandbox.run(code)
    plotly = 'application/vnd.plotly.v1+json'
    markup = '<script>1</script>"\'&quot;'
    assert result.display == [
        {'text/markdown': '[x](javascript:1) <b>'},
        {plotly: {'data': [{'y': [1, 2.5]}]}},
        {'text/html': markup, 'text/markdown': '*'},
    ]
    assert result.text.endswith('<display>\n[x](javascript:1) <b>\n\n*\n</display>')
    data = shown(result)
    assert set(data) == {'text/plain', 'text/html'}
    assert '<pre>[x](javascript:1) &lt;b&gt;</pre>' in data['text/html']
    assert f'<pre>{plotly}: in `display`</pre>' in data['text/html']
    # Its markup is in a frame in a frame, and nowhere else.
    frames = Frames(data['text/html'])
    assert frames.tags == ['pre', 'pre', 'pre', 'pre', 'iframe']
    outer = Frames(frames.documents[0])
    assert outer.tags == ['meta', 'meta', 'meta', 'iframe']
    assert outer.documents[0].endswith(markup)
    for document in (*frames.documents, *outer.documents):
        assert document.startswith('<meta http-equiv="Content-Security-Policy" content="default-src \'none\'')


class Frames(HTMLParser):
    """The tags of a document, and the documents of its frames."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.documents: list[str] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Records the tag, and the document of a frame."""
        self.tags.append(tag)
        if tag == 'iframe':
            found = dict(attrs)
            assert found['sandbox'] == ''
            self.documents.append(found['srcdoc'] or '')


def test_what_may_have_scripts_is_not_shown() -> None:
    svg = Image(b'<svg onload="alert(1)"/>', 'image/svg+xml')
    odd = Image(b'', 'image/png"><script>')
    for image in (svg, odd):
        assert set(shown(image)) == {'text/plain'}
    assert 'text/html' not in shown(Result('success', [], images=[svg, odd]))


def test_markup_prepares_no_connection() -> None:
    markup = """<LINK rel=preconnect href=//a.example><link
rel="dns-prefetch" href="//b.example"><p>text<svg><a xlink:href="//c.example">
<set attributeName=href to="//d.example"/></a>
<use href="#here"/><image href='data:image/png;base64,'/></svg><iframe src="//e.example"></iframe><a href="//f">f</a>
<object data="//g"></object><embed src="//h"><base href="//i"><meta http-equiv=refresh content="0;//j"><linked>"""
    bundle: dict[str, Any] = {'text/html': markup}
    data = shown(Result('success', [], display=[bundle]))
    inner = Frames(Frames(data['text/html']).documents[0]).documents[0]
    tags = Tags(inner)
    for tag in ('link', 'base', 'iframe', 'object', 'embed'):
        assert tag not in tags.names, tag
    assert tags.names.count('meta') == 3, 'those of the policy'
    assert {'p', 'svg', 'a', 'use', 'image', 'linked'} <= set(tags.names)
    assert tags.links == ['#here', 'data:image/png;base64,']


class Tags(HTMLParser):
    """The tags of a document, and where its links lead."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.links: list[str | None] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Records the tag and its links."""
        self.names.append(tag)
        self.links.extend(value for name, value in attrs if name in ('href', 'xlink:href'))
