"""The corpus: programs by name, and the normalization of answers before they are compared."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MODES = 'xml', 'json'


# The programs that need packages.
NEED_PACKAGES = frozenset(tomllib.loads((HERE / 'programs/packages.toml').read_text()))


def programs() -> dict[str, dict[str, Any]]:
    """Returns all programs: the arguments of the tool by the program's name."""
    found: dict[str, dict[str, Any]] = {}
    for file in sorted((HERE / 'programs').glob('*.toml')):
        for name, program in tomllib.loads(file.read_text()).items():
            assert name not in found, f'two programs have the name {name}'
            found[name] = {'python_code': program['code'], 'global_variables': program.get('globals', {})}
    return found


def golden(mode: str) -> dict[str, dict[str, Any]]:
    """Returns the original's answers in a return mode, by program: `text` and `logs`, or `failure`."""
    return json.loads((HERE / 'golden' / f'{mode}.json').read_text())


def normalize(answer: dict[str, Any]) -> dict[str, Any]:
    """Masks irrelevant differences in an answer: addresses, the packages' folder, and our runner's lines and frames."""
    text = json.dumps(answer, ensure_ascii=False)
    text = re.sub(r'\b0x[0-9a-f]{4,}\b', '0x…', text)
    text = text.replace('/lib/python3.14/site-packages/', '/lib/python3.14/packages/')
    # Our runner uses two frames fewer of the stack than Pyodide's own.
    text = re.sub(r'(Previous line repeated )99\d( more times)', r'\1…\2', text)
    return json.loads(re.sub(r'(/_sandbox/(?:runner|program)\.py\W+, line )\d+', r'\1…', text))
