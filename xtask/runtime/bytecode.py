"""Adds bytecode to the standard library's archive: run by the Pyodide of the build, which is the one that loads it."""

import importlib
import py_compile
import sys
import warnings
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo
from zipimport import zipimporter

# Where Pyodide has it.
PLACE = '/lib/python314.zip/'

# What packages import (numpy, pandas, matplotlib, scipy, scikit-learn, sympy, requests, httpx, pydantic, lxml) and
# programs do most, and what that imports. Each adds to what a page fetches and each start carries. The encodings are
# left out: charset-normalizer alone imports all of them.
MODULES = (
    '_strptime argparse cmath colorsys concurrent.futures.thread ctypes._layout ctypes.util difflib email.message '
    'email.parser encodings.idna fileinput gettext glob gzip hmac html.parser http.client http.cookiejar http.cookies '
    'importlib.readers importlib.resources importlib.resources._adapters mimetypes multiprocessing.context '
    'multiprocessing.util pickle pkgutil platform plistlib pydoc queue quopri secrets shlex sqlite3 stringprep tarfile '
    'timeit tomllib unittest urllib.request xml.etree.ElementTree'
).split()


def add_bytecode(archive: str, left_out: str, out: str) -> None:
    """Writes `archive` with the modules of the folder `left_out`, and bytecode of both.

    It has that of `MODULES` which are not imported yet: the snapshot has the others.
    """
    present = set(sys.modules)
    for name in MODULES:
        importlib.import_module(name)
    added = [module.__spec__ for name, module in sys.modules.items() if name not in present]
    wanted = {
        spec.origin.removeprefix(PLACE)
        for spec in added
        if spec and isinstance(spec.loader, zipimporter) and spec.origin
    }
    with ZipFile(archive) as source, ZipFile(out, 'w', ZIP_DEFLATED, compresslevel=9) as target:
        for info in source.infolist():
            content = source.read(info)
            target.writestr(info, content, compresslevel=9)
            if info.filename in wanted:
                bytecode = ZipInfo(info.filename + 'c', info.date_time)
                target.writestr(bytecode, _compile(info.filename, content), ZIP_DEFLATED, 9)
        for file in sorted(Path(left_out).rglob('*.py')):
            name, content = str(file.relative_to(left_out)), file.read_bytes()
            # The default date: the same files make the same archive.
            target.writestr(ZipInfo(name), content, ZIP_DEFLATED, 9)
            target.writestr(ZipInfo(name + 'c'), _compile(name, content), ZIP_DEFLATED, 9)


def _compile(name: str, source: bytes) -> bytes:
    file, compiled = Path('module.py'), Path('module.pyc')
    file.write_bytes(source)
    with warnings.catch_warnings(action='ignore'):
        # Nobody compares it with its source: both are in one archive, which nothing changes.
        unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(str(file), str(compiled), PLACE + name, doraise=True, invalidation_mode=unchecked)
    return compiled.read_bytes()
