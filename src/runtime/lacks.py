"""What Emscripten's Python lacks, and programs expect: some of it made up for, the rest told in one line."""

import hashlib
import os
import re

# Nobody is root here.
_USER = 1000

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
    inner, outer = hashlib.new(hash_name), hashlib.new(hash_name)
    size = inner.digest_size
    dklen = size if dklen is None else dklen
    if iterations < 1 or dklen < 1:
        raise ValueError('iteration value and key length must be greater than 0.')
    key = bytes(password)
    if len(key) > inner.block_size:
        key = hashlib.new(hash_name, key).digest()
    key = key.ljust(inner.block_size, b'\0')
    inner.update(bytes(byte ^ 0x36 for byte in key))
    outer.update(bytes(byte ^ 0x5C for byte in key))
    derived = b''
    block = 0
    while len(derived) < dklen:
        block += 1
        message = bytes(salt) + block.to_bytes(4)
        total = 0
        # Nothing but the hash's own code, written in C, for each iteration.
        for _ in range(iterations):
            one, two = inner.copy(), outer.copy()
            one.update(message)
            two.update(one.digest())
            message = two.digest()
            total ^= int.from_bytes(message)
        derived += total.to_bytes(size)
    return derived[:dklen]
