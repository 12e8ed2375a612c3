"""Programs that nobody wrote for this project, as their authors publish them.

They are the galleries and the docstrings' examples of well-known packages, and CPython's own tests.
"""

import ast
import doctest
import hashlib
import io
import lzma
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

# Programs that are left out: they need data from the network, a window, a shell or other things that neither the
# sandbox nor the machine of the comparison provides.
_LEFT_OUT = re.compile(
    r"""\bfetch_\w+\(|load_dataset|urlopen|urllib|urlretrieve|\brequests\b
    |https?://[^\s'"]+\.(?:csv|json|zip|gz|txt|data)\b
    |\b(?:tkinter|wx|gi\.repository|PyQt\w*|PySide\w*|qtpy)\b|FigureCanvas(?!Agg|Base|SVG|PDF)|matplotlib\.use\(
    |plt\.ginput|waitforbuttonpress|get_current_fig_manager|\.manager\b|\binput\(|usetex|\bpgf\b|\bipywidgets\b
    |\bopen\(
    |read_(?:csv|sql|excel|hdf|parquet|feather|orc|html|xml|sas|stata|spss|clipboard|gbq)\(\s*["'{]
    |\b(?:plotly|polars|pyarrow|skops|onnx|lightgbm|xgboost|dask|cupy|torch|jax)\b""",
    re.VERBOSE,
)

# Imports that docstrings' examples rely on: the packages' own test runners provide these names.
_PRELUDES = {
    'pandas': 'import numpy as np\nimport pandas as pd\n',
    'scipy': 'import numpy as np\n',
    'sympy': '',
}

# Largest data file, in bytes, that each test gets.
MAX_DATA = 500_000

# Standard library modules that the sandbox supports, by the names of their tests.
CPYTHON = """
abc annotationlib argparse array augassign base64 baseexception binascii binop bisect bool builtin bytes bz2
calendar class cmath codeccallbacks codecs codeop collections colorsys compare complex configparser contains
context contextlib contextlib_async copy copyreg coroutines csv dataclasses datetime decimal decorators
defaultdict deque descr dict dictcomps dictviews difflib dis dynamicclassattribute enum enumerate except_star
exception_group exception_hierarchy exceptions extcall filecmp fileinput float flufl fnmatch format fractions
fstring funcattrs functools gc generator_stop generators genericalias genericpath genexps getopt gettext glob
grammar graphlib gzip hash hashlib heapq hmac html htmlparser http_cookies index inspect int io ipaddress
isinstance iter iterlen itertools json keyword linecache list listcomps locale logging long lzma marshal math
memoryio memoryview metaclass mimetypes minidom named_expressions netrc numeric_tower operator optparse
ordered_dict pathlib patma pickle pickletools pkgutil plistlib positional_only_arg posixpath pow pprint property
pulldom pyclbr pyexpat queue quopri random range re reprlib richcmp runpy sax sched scope secrets set setcomps
shelve shlex shutil slice sort sqlite3 statistics str strftime string stringprep strptime struct structseq
subclassinit super symtable syntax sys tarfile tempfile textwrap time timeit tokenize tomllib traceback tstring
tuple type_aliases type_annotations type_params typechecks types typing unary unicodedata unittest unpack
unpack_ex urllib urlparse userdict userlist userstring uuid warnings wave weakref weakset with xml_etree
yield_from zipfile zlib zoneinfo
""".split()

# Data and other tests that some of them need, by path.
_DATA = {
    'archivetestdata/': ('tarfile', 'zipfile'),
    'audiodata/': ('wave',),
    'configdata/': ('configparser',),
    'decimaltestdata/': ('decimal',),
    'mathdata/': ('cmath', 'float', 'fractions', 'math', 'statistics'),
    'test_contextlib.py': ('contextlib_async',),
    'test_dbm.py': ('shelve',),
    'test_difflib_expect.html': ('difflib',),
    'test_genericpath.py': ('posixpath',),
    'test_importlib/': ('pkgutil', 'pyclbr'),
    'test_inspect/': ('annotationlib', 'type_annotations'),
    'test_iter.py': ('math',),
    'test_math.py': ('cmath',),
    'test_string/': ('tstring',),
    'tokenizedata/': ('tokenize',),
    'xmltestdata/': ('minidom', 'pulldom', 'pyexpat', 'sax', 'xml_etree'),
}


@dataclass
class Program:
    """A program, with the files that are placed in its folder before it runs."""

    id: str
    code: str
    files: dict[str, bytes] = field(default_factory=dict)
    # Whether its output shows the values that it computed.
    prints_values: bool = False


def left_out(code: str) -> bool:
    """Whether the code needs something that the comparison does not provide."""
    return bool(_LEFT_OUT.search(code))


def programs(source: str, archives: list[bytes]) -> Iterator[Program]:
    """Yields the programs of one source. `archives` are its sdist, or its Debian packages."""
    if source == 'cpython':
        yield from _cpython(archives)
        return
    [archive] = archives
    with tarfile.open(fileobj=io.BytesIO(archive)) as sdist:
        for member in sdist:
            path = PurePosixPath(*PurePosixPath(member.name).parts[1:])
            if not member.isfile() or path.suffix not in ('.py', '.rst') or not _HAS_PROGRAMS[source](path):
                continue
            file = sdist.extractfile(member)
            text = file.read().decode('utf-8', 'replace') if file else ''
            if source in _PRELUDES:
                yield from _of_docstrings(source, path, text)
            elif not left_out(text):
                yield Program(f'{source}/{path}', text)


# Where the programs are in an sdist.
_HAS_PROGRAMS: dict[str, Callable[[PurePosixPath], bool]] = {
    # Without the examples that open a window, or wait for one.
    'matplotlib': lambda path: (
        path.parts[0] == 'galleries' and not {'user_interfaces', 'event_handling', 'widgets'} & {*path.parts}
    ),
    'scikit-learn': lambda path: path.parts[0] == 'examples',
    'seaborn': lambda path: path.parts[0] == 'examples',
    **{
        name: lambda path, name=name: path.parts[0] == name and 'tests' not in path.parts and path.suffix == '.py'
        for name in _PRELUDES
    },
}


def _of_docstrings(source: str, path: PurePosixPath, text: str) -> Iterator[Program]:
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return
    for name, docstring in _docstrings(tree, ''):
        code = _of_examples(docstring)
        if code and not left_out(code):
            yield Program(f'{source}/{path}::{name}', _PRELUDES[source] + code, prints_values=True)


def _docstrings(node: ast.AST, within: str) -> Iterator[tuple[str, str]]:
    for child in getattr(node, 'body', []):
        if isinstance(child, ast.ClassDef | ast.FunctionDef):
            name = f'{within}{child.name}'
            if docstring := ast.get_docstring(child):
                yield name, docstring
            if isinstance(child, ast.ClassDef):
                yield from _docstrings(child, f'{name}.')


def _of_examples(docstring: str) -> str:
    """Returns a docstring's examples as a program that prints what an interactive Python shows; '' without examples."""
    try:
        examples = doctest.DocTestParser().get_examples(docstring)
    except ValueError:
        return ''
    lines = []
    for example in examples:
        if example.exc_msg is not None or example.options.get(doctest.OPTIONFLAGS_BY_NAME['SKIP']):
            continue
        source = example.source.rstrip()
        try:
            ast.parse(source, mode='eval')
            lines.append(f'_ = (\n{source}\n)\nif _ is not None: print(repr(_))')
        except SyntaxError:
            lines.append(source)
    return '\n'.join(lines) + '\n' if lines else ''


# Runs a module's tests from number `start` on, and prints the outcome of each at once, so that a crash loses none.
_RUN_TESTS = """\
import json, unittest, warnings
warnings.simplefilter('ignore')
def flat(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flat(test)
        else:
            yield test
tests = list(flat(unittest.defaultTestLoader.loadTestsFromName('test.{name}')))
tell = print
class Result(unittest.TestResult):
    def startTest(self, test):
        self.errors, self.failures = [], []
        tell(json.dumps(['begins', number, str(test)]), flush=True)
    def stopTest(self, test):
        bad = self.errors + self.failures
        tell(json.dumps(['ends', bad[0][1][-500:] if bad else '']), flush=True)
suite = unittest.TestSuite()
result = Result()
def numbered():
    global number
    for number, test in enumerate(tests):
        if number >= {start}:
            yield test
suite.__class__.__iter__ = lambda self: numbered() if self is suite else iter(self._tests)
suite._cleanup = False
suite.run(result)
tell(json.dumps(['all', len(tests)]))
"""


def tests_of(program: Program, start: int) -> str:
    """Returns code that runs one module of CPython's tests, from test number `start` on."""
    return _RUN_TESTS.format(name=program.id.split('/', 1)[1], start=start)


def _cpython(packages: list[bytes]) -> Iterator[Program]:
    files = {path: content for package in packages for path, content in _debian_files(package)}
    folder = 'usr/lib/python3.14/test/'
    tests = {path.removeprefix(folder): content for path, content in files.items() if path.startswith(folder)}
    shared = {
        path: content
        for path, content in tests.items()
        if path.startswith(('support/', 'typinganndata/'))
        or ('/' not in path and not path.startswith('test_') and len(content) < MAX_DATA)
    }
    for name in CPYTHON:
        of_test = (f'test_{name}.py', f'test_{name}/', *(folder for folder, names in _DATA.items() if name in names))
        chosen = {path: content for path, content in tests.items() if path.startswith(of_test)}
        if chosen:
            placed = {f'test/{path}': content for path, content in {**shared, **chosen}.items()}
            yield Program(f'cpython/test_{name}', '', placed)


def _debian_files(package: bytes) -> Iterator[tuple[str, bytes]]:
    """Yields the files of a Debian package (deb(5)): an ar archive with a tar archive of the files in it."""
    at = 8
    while at + 60 <= len(package):
        header = package[at : at + 60]
        name, size = header[:16].decode().strip(), int(header[48:58])
        at += 60
        if name.startswith('data.tar.xz'):
            with tarfile.open(fileobj=io.BytesIO(lzma.decompress(package[at : at + size]))) as data:
                for member in data:
                    if member.isfile() and (file := data.extractfile(member)):
                        yield member.name.removeprefix('./'), file.read()
        at += size + size % 2


def share(of: list[Program], part: float) -> list[Program]:
    """Returns a deterministic sample of the programs: those whose ids have the smallest hashes."""
    ordered = sorted(of, key=lambda program: hashlib.sha256(program.id.encode()).digest())
    return ordered[: max(1, round(len(ordered) * part))]


def read(source: str, archives: list[Path]) -> list[Program]:
    """Reads the programs of a source from its archives."""
    return list(programs(source, [archive.read_bytes() for archive in archives]))
