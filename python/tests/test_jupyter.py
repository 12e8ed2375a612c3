"""What Jupyter shows, by IPython's own formatter."""

import base64
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
    # A package that draws is not there without a network: what a figure is, the sandbox says by a file.
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


def test_what_may_have_scripts_is_not_shown() -> None:
    svg = Image(b'<svg onload="alert(1)"/>', 'image/svg+xml')
    odd = Image(b'', 'image/png"><script>')
    for image in (svg, odd):
        assert set(shown(image)) == {'text/plain'}
    assert 'text/html' not in shown(Result('success', [], images=[svg, odd]))
