"""JSON of any value, laid out as `pydantic_core.to_json(value, indent=2)` does, without pydantic_core.

It differs where that one fails: bytes and keys that are no text are written as their `repr`, and what is cyclic or too
deep as Python elides it.
"""

import dataclasses
import datetime
import decimal
import enum
import ipaddress
import json
import json.encoder
import math
import pathlib
import re
import sys
import types
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

# How deep arrays and objects nest at most by default: where pydantic_core gives up.
MAX_DEPTH = 255

_INDENT = '  '

# In C where CPython has it: quotes and escapes as serde_json does.
_quoted: Callable[[str], str] = json.encoder.encode_basestring


def to_json(value: object, max_bytes: int = sys.maxsize, max_depth: int = MAX_DEPTH) -> str:
    """The JSON of `value`; `NaN` and `Infinity` are written as they are.

    Raises ValueError once it is longer than `max_bytes`, and what the value's own methods raise.
    """
    return _Writer(max_bytes, max_depth).write(value)


class _Writer:
    def __init__(self, max_bytes: int, max_depth: int) -> None:
        self.parts: list[str] = []
        self.max_depth = max_depth
        self.max_bytes = self.left = max_bytes
        # The containers around the current value, by `id`.
        self.above: set[int] = set()

    def write(self, value: object) -> str:
        self.value(value)
        return ''.join(self.parts)

    def put(self, text: str) -> None:
        self.left -= len(text) if text.isascii() else len(text.encode())
        if self.left < 0:
            raise ValueError(f'the return value is longer than {self.max_bytes} bytes')
        self.parts.append(text)

    def value(self, value: object) -> None:
        plain = simplify(value)
        if isinstance(plain, str):
            self.put(_quoted(plain))
        elif isinstance(plain, Scalar):
            self.put(plain.text)
        elif id(value) in self.above or len(self.above) >= self.max_depth:
            # Not its `repr`: for a deep value, that could overflow the stack and end the interpreter.
            self.put(_ELIDED[type(plain)])
        else:
            self.above.add(id(value))
            self.container(plain)
            self.above.discard(id(value))

    def container(self, plain: 'Array | Object') -> None:
        opening, closing = '[]' if isinstance(plain, Array) else '{}'
        line = f'\n{_INDENT * len(self.above)}'
        self.put(opening)
        between = line
        for item in plain.items:
            self.put(between)
            between = f',{line}'
            if isinstance(plain, Object):
                key, item = item
                self.put(f'{_quoted(_key(key))}: ')
            self.value(item)
        if between != line:
            self.put(line[: -len(_INDENT)])
        self.put(closing)


@dataclasses.dataclass(slots=True)
class Scalar:
    """A number or a constant, as JSON writes it."""

    text: str


@dataclasses.dataclass(slots=True)
class Array:
    """Items, each of any type."""

    items: Iterable[Any]


@dataclasses.dataclass(slots=True)
class Object:
    """Pairs of keys and values, each of any type."""

    items: Iterable[tuple[Any, Any]]


# How Python writes a container that is left out.
_ELIDED = {Array: '"[...]"', Object: '"{...}"'}


def simplify(value: object) -> str | Scalar | Array | Object:
    """The JSON form of `value`, one level deep."""
    found = type(value)
    known = _KNOWN.get(found)
    if known is None:
        known = _special(value) or next((_KNOWN[base] for base in found.__mro__ if base in _KNOWN), _fallback)
    return known(value)


def _special(value: Any) -> Callable[[Any], Any] | None:
    """The converter for types that are known by their attributes or base class."""
    found = type(value)
    if hasattr(found, '__pydantic_serializer__') and 'pydantic_core' in sys.modules:
        return _by_pydantic
    if hasattr(found, '__dataclass_fields__'):
        return lambda value: Object((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
    if isinstance(value, enum.Enum):
        return lambda value: simplify(value.value)
    return Array if isinstance(value, Iterator) else None


def _fallback(value: Any) -> str | Scalar | Array | Object:
    found = type(value)
    if found.__module__ == 'numpy':
        plain = getattr(value, 'tolist' if found.__name__ in {'ndarray', 'matrix'} else 'item', None)
        if plain is not None and type(simple := plain()) is not found:
            return simplify(simple)
    elif found.__module__ == 'pyodide.ffi' and type(simple := value.to_py()) is not found:
        return simplify(simple)
    return to_unicode(repr(value))


def _by_pydantic(value: Any) -> str | Scalar | Array | Object:
    return simplify(value.__pydantic_serializer__.to_python(value, mode='json', by_alias=True, fallback=_plain))


def _plain(value: object) -> object:
    """Converts a value that pydantic does not know to types that it does."""
    simple = simplify(value)
    if isinstance(simple, Scalar):
        return json.loads(simple.text)
    return simple if isinstance(simple, str) else [*simple.items] if isinstance(simple, Array) else dict(simple.items)


def _key(key: object) -> str:
    """A key as text, as pydantic_core infers it."""
    if isinstance(key, tuple) and not hasattr(type(key), '__pydantic_serializer__'):
        return ','.join(_key(item) for item in key)
    if key is None:
        return 'None'
    if isinstance(key, float):
        return float.__repr__(key)
    simple = simplify(key)
    if isinstance(simple, Scalar):
        return simple.text
    return simple if isinstance(simple, str) else to_unicode(repr(key))


def to_unicode(text: str) -> str:
    """The text without surrogates, which no JSON may carry: pairs are joined, lone ones escaped."""
    text = str.__str__(text)
    try:
        text.encode()
    except UnicodeEncodeError:
        try:
            return text.encode('utf-16', 'surrogatepass').decode('utf-16')
        except UnicodeDecodeError:
            return text.encode('utf-8', 'backslashreplace').decode()
    return text


def _int(value: int) -> Scalar:
    try:
        return Scalar(int.__repr__(value))
    except ValueError:  # more digits than allowed: 4300 unless the program says otherwise
        limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return Scalar(int.__repr__(value))
    finally:
        sys.set_int_max_str_digits(limit)


def _float(value: float) -> Scalar:
    value = float(value)
    if not math.isfinite(value):
        return Scalar('NaN' if math.isnan(value) else 'Infinity' if value > 0 else '-Infinity')
    digits, exponential, exponent = float.__repr__(value).partition('e')
    if not exponential:
        return Scalar(digits)
    if exponent == '-05':
        # Ryu's layout begins with exponents one smaller than Python's.
        sign, digits = ('-', digits[1:]) if digits[0] == '-' else ('', digits)
        return Scalar(f'{sign}0.0000{digits.replace(".", "")}')
    return Scalar(f'{digits}e{int(exponent)}')


def _complex(value: complex) -> str:
    # A real part of -0 is left out, too.
    return repr(complex(value.real or 0.0, value.imag)).strip('()')


def _bytes(value: bytes | bytearray) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return repr(value)


def _offset(offset: datetime.timedelta | None) -> str:
    if offset is None:
        return ''
    minutes = int(abs(offset).total_seconds() // 60)
    if not offset:
        return 'Z'
    return f'{"-" if offset < datetime.timedelta(0) else "+"}{minutes // 60:02}:{minutes % 60:02}'


def _moment(value: Any) -> str:
    if value != value:  # NaT of pandas is an instance of datetime, but no time
        return repr(value)
    return value.replace(tzinfo=None).isoformat() + _offset(value.utcoffset())


def _timedelta(value: datetime.timedelta) -> str:
    sign, value = ('-', -value) if value < datetime.timedelta(0) else ('', value)
    years, days = divmod(value.days, 365)
    minutes, seconds = divmod(value.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f'.{value.microseconds:06}'.rstrip('0') if value.microseconds else ''
    date = ''.join(f'{n}{unit}' for n, unit in ((years, 'Y'), (days, 'D')) if n)
    time = ''.join(f'{n}{unit}' for n, unit in ((hours, 'H'), (minutes, 'M')) if n)
    if seconds or fraction or not (date or time):
        time += f'{seconds}{fraction}S'
    return f'{sign}P{date}{"T" if time else ""}{time}'


_ADDRESSES = [getattr(ipaddress, f'IPv{n}{kind}') for n in (4, 6) for kind in ('Address', 'Interface', 'Network')]

_KNOWN: dict[type, Callable[[Any], str | Scalar | Array | Object]] = {
    types.NoneType: lambda _: Scalar('null'),
    bool: lambda value: Scalar('true' if value else 'false'),
    int: _int,
    float: _float,
    complex: _complex,
    str: to_unicode,
    bytes: _bytes,
    bytearray: _bytes,
    list: Array,
    tuple: Array,
    set: Array,
    frozenset: Array,
    dict: lambda value: Object(value.items()),
    datetime.datetime: _moment,
    datetime.date: datetime.date.isoformat,
    datetime.time: _moment,
    datetime.timedelta: _timedelta,
    decimal.Decimal: str,
    uuid.UUID: str,
    pathlib.PosixPath: str,
    **dict.fromkeys(_ADDRESSES, str),
    re.Pattern: lambda value: simplify(value.pattern),
}
