"""What Emscripten's Python lacks, and programs expect: some of it made up for, the rest told in one line."""

import hashlib
import hmac
import os
import re
from functools import partial
from itertools import repeat

import _hmac

# Nobody is root here.
_USER = 1000

# How many iterations of `pbkdf2_hmac` are put together at once: little memory, and few steps.
_BATCH = 1024

# What an uncaught error says, and what to say about it.
_REASONS = tuple(
    (re.compile(pattern), reason)
    for pattern, reason in (
        (
            r"RuntimeError: can't start new thread",
            'The sandbox has no threads: call the functions one after the other, or use asyncio.',
        ),
        (
            r'OSError: .*does not support processes|NotImplementedError: This Python build lacks multiprocessing'
            r"|ModuleNotFoundError: No module named '_(?:multiprocessing|posixshmem)'",
            'The sandbox has no processes: neither subprocess nor multiprocessing can start one.',
        ),
        (
            r"AttributeError: module 'hashlib' has no attribute 'scrypt'"
            r"|ImportError: cannot import name 'scrypt' from 'hashlib'",
            'The sandbox has no hashlib.scrypt, which is part of OpenSSL: use hashlib.pbkdf2_hmac.',
        ),
    )
)


def reason(error: str) -> str | None:
    """What to add to an error, its type and text, that comes from something that the sandbox does not have."""
    return next((reason for pattern, reason in _REASONS if pattern.match(error)), None)


def make_up() -> None:
    """Adds to the standard library what is missed in it."""
    for name in ('getuid', 'geteuid', 'getgid', 'getegid'):
        setattr(os, name, _user)
    os.getgroups = lambda: [_USER]
    os.getlogin = lambda: 'pyodide'
    if not hasattr(hashlib, 'pbkdf2_hmac'):
        hashlib.pbkdf2_hmac = pbkdf2_hmac


def _user() -> int:
    return _USER


def pbkdf2_hmac(hash_name: str, password: bytes, salt: bytes, iterations: int, dklen: int | None = None) -> bytes:
    """As `hashlib.pbkdf2_hmac` of a Python with OpenSSL (RFC 8018, section 5.2)."""
    if not isinstance(hash_name, str):
        raise TypeError('hash_name expected to be str')
    of_hash = hashlib.new(hash_name)
    size = of_hash.digest_size
    dklen = size if dklen is None else dklen
    if iterations < 1 or dklen < 1:
        raise ValueError('iteration value and key length must be greater than 0.')
    key = bytes(password)
    if len(key) > of_hash.block_size:
        # Once, instead of in each iteration.
        key = hashlib.new(hash_name, key).digest()
    # One call of C for each iteration: though it hashes the key anew, it is quicker than to copy the state after it.
    mac = getattr(_hmac, f'compute_{of_hash.name}', None) or partial(_mac, hash_name)
    derived = b''
    block = 0
    while len(derived) < dklen:
        block += 1
        message = bytes(salt) + block.to_bytes(4)
        total = 0
        for done in range(0, iterations, _BATCH):
            batch = repeat(None, min(_BATCH, iterations - done))
            total ^= _xor(b''.join([message := mac(key, message) for _ in batch]), size)
        derived += total.to_bytes(size)
    return derived[:dklen]


def _mac(hash_name: str, key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, hash_name)


def _xor(digests: bytes, size: int) -> int:
    """All of them by XOR, as one number: of halves, as that takes few steps."""
    total, count = int.from_bytes(digests), len(digests) // size
    while count > 1:
        count -= count // 2
        bits = 8 * size * count
        total = total >> bits ^ total & (1 << bits) - 1
    return total
