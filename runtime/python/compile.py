"""A program that compiles the sources of the package `name`, run in an isolate that does nothing else.

Its value is a zip archive, in base64, that has the bytecode of each source where Python looks for it.
"""

import py_compile
import warnings
from base64 import b64encode
from contextlib import suppress
from importlib.metadata import distribution
from importlib.util import cache_from_source
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile


def bytecode_of(name: str) -> str:
    """Compiles a package; returns the archive."""
    compiled, packed = '/tmp/compiled.pyc', BytesIO()  # noqa: S108
    # The bytecode is not compared with its source: neither changes.
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    with ZipFile(packed, 'w', ZIP_DEFLATED, compresslevel=1) as archive:
        for file in distribution(name).files or ():
            source = Path(str(file.locate()))
            if source.suffix != '.py' or not source.is_file():
                continue
            # A source that does not compile has no bytecode: Python says what is wrong with it, should it be imported.
            with suppress(py_compile.PyCompileError):
                py_compile.compile(str(source), compiled, doraise=True, invalidation_mode=unchecked)
                archive.writestr(cache_from_source(str(file)), Path(compiled).read_bytes())
    return b64encode(packed.getvalue()).decode()


warnings.simplefilter('ignore')
bytecode_of(name)  # type: ignore[name-defined]  # noqa: F821
