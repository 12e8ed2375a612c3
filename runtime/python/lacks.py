"""Makes up for some of what programs expect and Emscripten's Python lacks, and explains the rest in one line."""

import hashlib
import hmac
import operator
import os
import re
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.machinery import ModuleSpec, PathFinder
from itertools import repeat
from types import ModuleType

import _hmac
import pyodide_js
from pyodide.ffi import to_js

from . import network

# Nobody is root here.
_USER = 1000

# The hashes for which runtime/kdf derives keys, with their bits.
_COMPILED = {'sha1': 160, 'sha224': 224, 'sha256': 256, 'sha384': 384, 'sha512': 512}

# How many iterations of `pbkdf2_hmac` are joined at once for other hashes: takes little memory, and few steps.
_BATCH = 1024

# OpenSSL's limits: the default memory of `scrypt` in bytes, and the largest `r * p`; and C's largest int.
_MAX_MEMORY = 2**25
_MAX_BLOCKS = 2**30 - 1
_MAX_INT = 2**31 - 1

# Attributes that are set in modules after their import: these modules would start threads.
_SET = {'scipy.io._fast_matrix_market': {'PARALLELISM': 1}}

# How many characters of an error are looked at.
_LETTERS = 1000

# When the interpreter started, by `time.perf_counter_ns`.
_started = time.perf_counter_ns()

# Patterns of uncaught errors, and what to say about each.
_REASONS = tuple(
    (re.compile(pattern), reason)
    for pattern, reason in (
        (
            r"RuntimeError: (?:can't start new thread|thread constructor failed)",
            'The sandbox has no threads: call the functions one after the other, or use asyncio.',
        ),
        (
            r'OSError: .*does not support processes|NotImplementedError: This Python build lacks multiprocessing'
            r"|ModuleNotFoundError: No module named '_(?:multiprocessing|posixshmem)'",
            'The sandbox has no processes: neither subprocess nor multiprocessing can start one.',
        ),
        (
            r'EOFError: EOF when reading a line',
            'There is no user input: write the values into the code, or give them as global variables or files.',
        ),
        (
            r"NameError: name 'get_ipython' is not defined",
            "This is Python without IPython's magics: use plain Python instead.",
        ),
    )
)


# Patterns of lines that are IPython's syntax and not Python, and what to do instead.
_MAGIC = tuple(
    (re.compile(pattern), reason)
    for pattern, reason in (
        (
            r'\s*[%!]\s*(?:(?:python\S* -m )?pip\d?|conda|mamba|uv)\b',
            'Packages are installed by themselves when the code imports them: leave this line out.',
        ),
        (r'\s*%matplotlib\b', 'Figures come back with the result by themselves: leave this line out.'),
        (r'\s*(?:[\w.]+\s*=\s*)?!', 'The sandbox has no shell: use Python instead, such as os, pathlib and shutil.'),
        (
            r'\s*(?:[\w.]+\s*=\s*)?%|\s*\?|\s*[\w.]+\?+\s*$',
            "This is Python without IPython's magics: leave this line out.",
        ),
    )
)


def reason(error: BaseException) -> str | None:
    """What to add to an error that comes from something that the sandbox does not have."""
    if isinstance(error, SyntaxError):
        line = error.text if isinstance(error.text, str) else ''
        return next((reason for pattern, reason in _MAGIC if pattern.match(line)), None)
    text = f'{type(error).__name__}: {str(error)[:_LETTERS]}'
    return next((reason for pattern, reason in _REASONS if pattern.match(text)), None) or network.reason(error)


def make_up() -> None:
    """Adds what is missing in the standard library."""
    for name in ('getuid', 'geteuid', 'getgid', 'getegid'):
        setattr(os, name, _user)
    os.getgroups = lambda: [_USER]
    os.getlogin = lambda: 'pyodide'
    threading.get_native_id = threading.get_ident
    time.process_time = time.thread_time = process_time
    time.process_time_ns = time.thread_time_ns = process_time_ns
    hashlib.pbkdf2_hmac = pbkdf2_hmac
    hashlib.scrypt = scrypt
    sys.meta_path.insert(0, _Finder)
    sys.modules['micropip'] = micropip = ModuleType('micropip', 'Stands for micropip, which needs the network.')
    micropip.install = install  # type: ignore[attr-defined]


def renew() -> None:
    """Makes `process_time` start at 0: a snapshot was made long before."""
    global _started
    _started = time.perf_counter_ns()


def process_time() -> float:
    """As `time.process_time`, in seconds, but by the wall clock: nothing here measures processor time."""
    return process_time_ns() / 1e9


def process_time_ns() -> int:
    """As `time.process_time_ns`."""
    return time.perf_counter_ns() - _started


class _Finder:
    """Finds the modules of `_SET`, and sets in them what it says."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        settings = _SET.get(name)
        spec = PathFinder.find_spec(name, path, target) if settings else None
        if not settings or not spec or not spec.loader:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            vars(module).update(settings)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


class _Done:
    """The awaitable result of `micropip.install(...)`, which is done at once."""

    def __await__(self) -> Iterator[None]:
        return iter(())


def install(*_requirements: object, **_options: object) -> _Done:
    """Stands in for `micropip.install`: packages that the code imports are installed already."""
    print('micropip.install: nothing to do, as packages are installed when the code imports them', file=sys.stderr)
    return _Done()


def _user() -> int:
    return _USER


def pbkdf2_hmac(hash_name: str, password: bytes, salt: bytes, iterations: int, dklen: int | None = None) -> bytes:
    """As `hashlib.pbkdf2_hmac` of a Python with OpenSSL (RFC 8018, section 5.2)."""
    if not isinstance(hash_name, str):
        raise TypeError('hash_name expected to be str')
    of_hash = hashlib.new(hash_name)
    key, salt = _bytes(password, 'password'), _bytes(salt, 'salt')
    iterations = _number(iterations, 'iteration value')
    dklen = _number(of_hash.digest_size if dklen is None else dklen, 'key length')
    if digest := _COMPILED.get(of_hash.name):
        return _derived('pbkdf2', digest, to_js(key), to_js(salt), iterations, dklen)
    if len(key) > of_hash.block_size:
        # Hashed once, instead of in each iteration.
        key = hashlib.new(hash_name, key).digest()
    return _pbkdf2_hmac(hash_name, key, salt, iterations, dklen)


def scrypt(password: bytes, *, salt: bytes, n: int, r: int, p: int, maxmem: int = 0, dklen: int = 64) -> bytes:
    """As `hashlib.scrypt` of a Python with OpenSSL (RFC 7914)."""
    password, salt = _bytes(password, 'password'), _bytes(salt, 'salt')
    n, r, p, maxmem, dklen = map(operator.index, (n, r, p, maxmem, dklen))
    if min(n, r, p) < 0:
        raise ValueError('value must be positive')
    if n < 2 or n & n - 1:
        raise ValueError('n must be a power of 2.')
    if not 0 <= maxmem <= _MAX_INT:
        raise ValueError(f'maxmem must be positive and smaller than {_MAX_INT}')
    if not 0 < dklen <= _MAX_INT:
        raise ValueError(f'dklen must be greater than 0 and smaller than {_MAX_INT}')
    if not 0 < r * p <= _MAX_BLOCKS or n.bit_length() > 16 * r:
        raise ValueError('Invalid parameter combination for n, r, p, maxmem.')
    if (needed := 128 * r * (n + p + 2)) > (maxmem := maxmem or _MAX_MEMORY):
        raise ValueError(f'memory limit exceeded: it needs {needed} bytes, and maxmem is {maxmem}')
    return _derived('scrypt', to_js(password), to_js(salt), n, r, p, dklen)


def _bytes(value: bytes, name: str) -> bytes:
    """A copy of a bytes-like object, as C takes it."""
    value = bytes(memoryview(value))
    if len(value) > _MAX_INT:
        raise OverflowError(f'{name} is too long.')
    return value


def _number(value: int, name: str) -> int:
    value = operator.index(value)
    if value < 1:
        raise ValueError(f'{name} must be greater than 0.')
    if value > _MAX_INT:
        raise OverflowError(f'{name} is too great.')
    return value


def _derived(function: str, *arguments: object) -> bytes:
    """Derives a key by `runtime/js/kdf.js`, in steps of about a millisecond; signals are seen between them."""
    key = None
    steps = getattr(pyodide_js._module.keyDerivation, function)(*arguments)
    try:
        for step in steps:
            key = step
    finally:
        steps.close()
    if key is None:
        raise MemoryError
    return key.to_bytes()


def _pbkdf2_hmac(hash_name: str, key: bytes, salt: bytes, iterations: int, dklen: int) -> bytes:
    of_hash = hashlib.new(hash_name)
    size = of_hash.digest_size
    # One C call for each iteration: although it hashes the key anew, it is quicker than copying the state after it.
    mac = getattr(_hmac, f'compute_{of_hash.name}', None) or partial(_mac, hash_name)
    derived = b''
    block = 0
    while len(derived) < dklen:
        block += 1
        message = salt + block.to_bytes(4)
        total = 0
        for done in range(0, iterations, _BATCH):
            batch = repeat(None, min(_BATCH, iterations - done))
            total ^= _xor(b''.join([message := mac(key, message) for _ in batch]), size)
        derived += total.to_bytes(size)
    return derived[:dklen]


def _mac(hash_name: str, key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, hash_name)


def _xor(digests: bytes, size: int) -> int:
    """All digests by XOR, as one number. It joins halves, as that takes few steps."""
    total, count = int.from_bytes(digests), len(digests) // size
    while count > 1:
        count -= count // 2
        bits = 8 * size * count
        total = total >> bits ^ total & (1 << bits) - 1
    return total
