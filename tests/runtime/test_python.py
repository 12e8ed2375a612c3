"""The Python modules around a program, tested alone in an ordinary CPython."""

import asyncio
import base64
import importlib
import json
import re
import sys
import types
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

FOLDER = Path(__file__).parents[2] / 'runtime/python'

# The modules are in a package of this name, as in an isolate.
sys.modules['_sandbox'] = types.ModuleType('_sandbox')
sys.modules['_sandbox'].__path__ = [str(FOLDER)]
display, errors, network, program, table = (
    importlib.import_module(f'_sandbox.{name}') for name in ('display', 'errors', 'network', 'program', 'table')
)

# No deadlines: the machine may be busy.
settings.register_profile('busy', deadline=None)
settings.load_profile('busy')

LIMITS = {
    'images': 2,
    'imageBytes': 1000,
    'displays': 3,
    'displayBytes': 500,
    'displayAll': 1000,
    'tableRows': 5,
    'tableColumns': 4,
}


def value_of(source: str) -> object:
    return asyncio.run(program.evaluate(source, {}, 'main.py'))


WORDS = st.text(st.characters(exclude_categories=['Cs', 'Cc'], exclude_characters='"\\'), max_size=10)


@given(WORDS, st.sampled_from(['', ' ', '  # ;', ' # "é";', '\n', '\n\n# ;\n', '\\\n\n']), st.booleans())
def test_the_last_expression_is_the_value_unless_a_semicolon_follows(word: str, after: str, ended: bool) -> None:
    value = value_of(f'é = 1\n"""{word}"""{" ;" if ended else ""}{after}')
    assert value == (None if ended else word)


@pytest.mark.parametrize(
    ('source', 'value'),
    [
        ('', None),
        ('# nothing', None),
        ('x = 1', None),
        ('x = 1; x', 1),
        ('    x = 2\n    x', 2),
        ('\n\tif True:\n\t    3', None),
        ('import asyncio\nawait asyncio.sleep(0, 4)', 4),
        ('def f():\n    return 5\nf()', 5),
    ],
)
def test_programs_have_values(source: str, value: object) -> None:
    assert value_of(source) == value


def raised(source: str, filename: str, **names: object) -> BaseException:
    namespace: dict[str, Any] = dict(names)
    try:
        exec(compile(source, filename, 'exec'), namespace)  # noqa: S102 - ours
    except Exception as error:
        return error
    raise AssertionError(source)


def deep(depth: int, filename: str, then: object) -> object:
    """Returns the first of `depth` functions in that file, each of which calls the next; the last calls `then`."""
    lines = [f'def f{n}():\n    return f{n + 1}()' for n in range(depth)]
    namespace: dict[str, Any] = {f'f{depth}': then}
    exec(compile('\n'.join(lines), filename, 'exec'), namespace)  # noqa: S102 - ours
    return namespace['f0']


def fails() -> None:
    raise ValueError('the end')


@given(st.integers(0, 60), st.integers(0, 60))
def test_a_long_traceback_keeps_the_programs_frames_and_the_last_of_libraries(own: int, library: int) -> None:
    inner = deep(library, '/lib/python3.14/packages/lib/core.py', fails) if library else fails
    outer = deep(own, 'main.py', inner) if own else inner
    text = errors.write(raised('call()', 'main.py', call=outer))
    lines = text.splitlines()
    assert lines[0] == 'Traceback (most recent call last):'
    assert lines[-1] == 'ValueError: the end'
    assert '  File "main.py", line 1, in <module>' in text
    frames = [line for line in lines if line.startswith('  File ')]
    of_library = sum('/lib/core.py' in frame for frame in frames)
    of_program = sum('"main.py"' in frame for frame in frames)
    if own + library < 10:
        assert (of_library, of_program) == (library, own + 1), 'a short one is whole'
        assert 'more frames' not in text
    assert of_library <= max(errors.LAST, errors.LONG)
    assert of_program >= min(own, errors.OWN)
    # All frames that were left out are counted.
    left_out = sum(map(int, re.findall(r'\[(\d+) more frames\]', text)))
    here = sum('test_python.py' in frame for frame in frames)
    assert of_library + of_program + left_out + here >= own + library + 1
    assert len(lines) < 2 * (errors.LAST + 2 * errors.OWN) + 2 * errors.LONG


def test_frames_of_the_sandbox_are_nobodys_business() -> None:
    inner = deep(3, '/lib/python3.14/site-packages/_sandbox/program.py', fails)
    text = errors.write(raised('call()', 'main.py', call=inner))
    assert '_sandbox' not in text
    assert text.endswith('ValueError: the end\n')


CELLS = st.one_of(
    st.integers(-(2**40), 2**40), st.floats(), st.text(max_size=80), st.none(), st.booleans(), st.just('a|b\n\\c')
)


@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=9), st.integers(1, 6), st.integers(1, 4))
def test_a_table_has_its_shape_whatever_is_in_it(rows: list[list[object]], most_rows: int, most_columns: int) -> None:
    frame = pd.DataFrame(rows, columns=pd.Index(['a', 'b | c', 'd\n']))
    text = table.markdown(frame, most_rows, most_columns)
    *lines, gap, shape = text.split('\n')
    assert gap == ''
    assert shape == f'{len(rows)} row{"s" * (len(rows) != 1)} x 3 columns'
    assert len(lines) == 2 + (len(rows) if len(rows) <= most_rows else most_rows + 1)
    # No cell adds a column or a line to the table.
    bars = {len(re.findall(r'(?<!\\)(?:\\\\)*\|', line)) for line in lines}
    assert bars == {1 + 1 + (3 if most_columns >= 3 else most_columns + 1)}, text
    assert all(line.startswith('| ') and line.endswith(' |') for line in lines)


def test_what_is_no_table_has_none() -> None:
    for value in (1, 'x', [1], {'a': 1}, object()):
        assert table.markdown(value, 5, 5) is None
    assert table.markdown(pd.Series([1, 2], name='s'), 5, 5).startswith('|  | s |\n| --- | ---: |\n| 0 | 1 |')


class Shown:
    """A value with the given representations."""

    def __init__(self, texts: dict[str, object]) -> None:
        self.texts = texts

    def _repr_mimebundle_(self, **_: object) -> dict[str, object]:
        return self.texts


KINDS = st.sampled_from(['text/html', 'text/markdown', 'text/latex', 'image/svg+xml', 'text/x-other', 'image/png'])
BUNDLES = st.dictionaries(KINDS, st.one_of(st.text(max_size=300), st.binary(max_size=20), st.integers(), st.none()))


@given(st.lists(BUNDLES, max_size=8))
def test_no_more_is_shown_than_may_be(bundles: list[dict[str, object]]) -> None:
    sent: list[str] = []
    show = display.begin(LIMITS, sent.append)
    for bundle in bundles:
        show.value(Shown(bundle))
    display.end()
    frames = [json.loads(frame) for frame in sent]
    shown = [frame['display'] for frame in frames if 'display' in frame]
    assert len(shown) <= LIMITS['displays']
    assert sum(len(frame.encode()) for frame in sent if '"display"' in frame) <= LIMITS['displayAll']
    for texts in shown:
        assert set(texts) <= {'text/html', 'text/markdown', 'text/latex', 'image/svg+xml'}
        assert all(len(text.encode()) <= LIMITS['displayBytes'] for text in texts.values())
    # Everything sent as an image starts with an image's magic bytes.
    images = [base64.b64decode(frame['image']) for frame in frames if 'image' in frame]
    assert all(image.startswith((b'\x89PNG', b'\xff\xd8\xff')) for image in images)
    assert len(images) <= LIMITS['images']


class Lies:
    """A hostile value, which misbehaves whenever it is inspected."""

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(name)

    def _repr_html_(self) -> object:
        raise SystemError('no')

    def _repr_png_(self) -> object:
        return b'no picture'

    def _repr_markdown_(self) -> object:
        return 3


def test_a_value_that_lies_is_a_value() -> None:
    sent: list[str] = []
    show = display.begin(LIMITS, sent.append)
    assert show.value(Lies()) is False
    assert show.value(3) is False
    display.end()
    assert sent == []


def test_images_are_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    sent: list[str] = []
    show = display.begin(LIMITS, sent.append)
    picture = b'\x89PNG\r\n\x1a\n'
    for size in (10, 2000, 20, 30, 40):
        show.value(Shown({'image/png': picture + bytes(size)}))
    display.end()
    assert [list(json.loads(frame)) for frame in sent] == [['image'], ['image']]
    told = capsys.readouterr().err
    assert 'at most 1000 are allowed' in told
    assert told.count('at most 2 images are shown') == 1


@pytest.mark.parametrize(
    ('error', 'said'),
    [
        (OSError('nothing'), None),
        (ValueError('the sandbox has no network'), 'There is no network here: give'),
        (OSError(113, 'No route to host'), 'There is no network here: give'),
        (RuntimeError("the sandbox has no network host='example.org'"), 'so example.org is out of reach: give'),
        (LookupError('\n  Resource punkt not found.'), 'a data set that has to be downloaded'),
    ],
)
def test_an_error_for_want_of_the_network_says_so(error: BaseException, said: str | None) -> None:
    found = network.reason(error)
    assert found is None if said is None else said in found
    # The reason is found, too, if the error is the cause of another one, or in a group.
    outer = KeyError('x')
    outer.__cause__ = error
    assert network.reason(outer) == found
    assert network.reason(ExceptionGroup('some', [ValueError('other'), ExceptionGroup('more', [outer])])) == found


@given(st.text(max_size=2000))
def test_whatever_an_error_says_a_host_is_a_short_name(text: str) -> None:
    said = network.reason(ValueError(f"the sandbox has no network {text} host='{text}'")) or ''
    assert len(said) < 400
    assert re.fullmatch(r'There is no network here(, so [\w.-]+ is out of reach)?: .*', said)
