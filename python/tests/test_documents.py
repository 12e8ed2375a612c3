"""The documents' examples and metadata of the package."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent / '../..'


@pytest.mark.parametrize(
    ('document', 'says'),
    [
        ('README.md', ["'return_value': 45"]),
        ('python/README.md', ['45']),
        ('docs/python.md', ["stream='stdout', text='2'", '[0, 1, 4, 9, 16, 25, 36, 49, 64, 81]\n42\n']),
    ],
)
def test_examples_run(document: str, says: list[str]) -> None:
    found = re.findall(r'```python\n(.*?)```', (ROOT / document).read_text(), re.DOTALL)
    assert len(found) == len(says)
    for code, expected in zip(found, says, strict=True):
        assert expected in ran(code)


def ran(code: str) -> str:
    """Runs an example and returns its output."""
    # Packages come from the network, which may be missing: their calls are replaced by ones of the standard library.
    code = code.replace('import numpy\\nnumpy.arange(n).sum()', 'sum(range(n))')
    code = code.replace(
        'import pandas as pd\\nframe = pd.read_csv("in.csv")', 'import collections\\nframe = open("in.csv").read()'
    )
    code = code.replace('frame.sum().to_dict()', 'dict(collections.Counter(frame))')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_registry_finds_what_it_lists() -> None:
    server = json.loads((ROOT / 'server.json').read_text())
    npm = json.loads((ROOT / 'cli/package.json').read_text())
    assert npm['mcpName'] == server['name']
    assert f'mcp-name: {server["name"]} ' in (ROOT / 'python/README.md').read_text()
    # The registry's rules: the name starts with a reversed host name, and the description is short.
    assert re.fullmatch(r'[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+', server['name'])
    assert len(server['description']) <= 100
    [version] = re.findall(r'^version = "(.+)"$', (ROOT / 'Cargo.toml').read_text(), re.MULTILINE)
    assert {server['version'], npm['version'], *(package['version'] for package in server['packages'])} == {version}
    assert server['packages'][0]['identifier'] == npm['name']
    assert f'name = "{server["packages"][1]["identifier"]}"' in (ROOT / 'python/pyproject.toml').read_text()
