"""Compares our to_json with pydantic_core's, value by value: where that one succeeds, ours gives the same."""

import datetime
import importlib.util
import random
from typing import Any

import numpy as np
import pydantic
import pydantic_core
import pytest
from programs import HERE

_spec = importlib.util.spec_from_file_location('to_json', HERE / '../../runtime/python/to_json.py')
assert _spec
assert _spec.loader
ours = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(ours)


def fallback(value: Any) -> Any:
    """The original's fallback for values that pydantic_core cannot serialize."""
    if type(value).__module__ == 'numpy':
        return value.tolist() if type(value).__name__ in {'ndarray', 'matrix'} else value.item()
    return repr(value)


class Model(pydantic.BaseModel):
    """A model with each kind of field."""

    model_config = {'arbitrary_types_allowed': True}
    number: int = 1
    nested: list[Any] = [1.0, {'x': (1, 2)}]
    anything: Any = None
    secret: pydantic.SecretStr = pydantic.SecretStr('x')

    @pydantic.computed_field
    @property
    def double(self) -> int:
        """A computed field."""
        return 2 * self.number


def moments(rng: random.Random) -> datetime.datetime:
    """Returns a random time in a random zone."""
    zone = datetime.timezone(datetime.timedelta(seconds=rng.choice([0, 1, 60]) * rng.randint(-86_000, 86_000) // 60))
    return datetime.datetime(rng.randint(1, 9999), rng.randint(1, 12), 5, 6, 7, 8, rng.choice([0, 9, 900_000]), zone)


KINDS = {
    'floats': lambda rng: rng.uniform(-1, 1) * 10 ** rng.randint(-30, 30),
    'ints': lambda rng: rng.randint(-(2 ** rng.randint(0, 300)), 2**64),
    'complex': lambda rng: complex(rng.choice([0.0, -0.0, 1.5]), rng.choice([2.0, -2.5])),
    'texts': lambda rng: ''.join(map(chr, rng.choices([*range(0xD800), *range(0x10000, 0x10400)], k=20))),
    'moments': moments,
    'times': lambda rng: moments(rng).time(),
    'durations': lambda rng: datetime.timedelta(rng.randint(-900, 900), rng.randint(0, 9**5), rng.choice([0, 1, 500])),
    'keys': lambda rng: {rng.choice([None, True, 2, 2.5, float('nan'), 1e30, 'a', b'b', (1, 'c'), 1j]): 1},
    'models': lambda rng: {'m': Model(number=rng.randint(1, 9), anything=rng.choice([np.arange(3), object, {1}]))},
    'numpy': lambda rng: rng.choice([np.eye(2), np.float32(0.1), np.int64(5), np.bool_(True), [np.str_('s')]]),
}


@pytest.mark.parametrize('kind', KINDS)
def test_same_as_pydantic_core(kind: str) -> None:
    rng = random.Random(kind)
    for _ in range(500):
        value = KINDS[kind](rng)
        assert ours.to_json(value) == pydantic_core.to_json(value, indent=2, fallback=fallback).decode(), repr(value)


def test_what_pydantic_core_cannot_write() -> None:
    cycle: list[Any] = [1]
    cycle.append({'again': cycle})
    for value, expected in (
        (b'\xff', '"b\'\\\\xff\'"'),
        (cycle, '[\n  1,\n  {\n    "again": "[...]"\n  }\n]'),
        ({frozenset({1}): 2}, '{\n  "frozenset({1})": 2\n}'),
        (['\ud83d\ude00', '\ud800'], '[\n  "\U0001f600",\n  "\\\\ud800"\n]'),
    ):
        assert ours.to_json(value) == expected


def test_length_is_bounded() -> None:
    def endless() -> Any:
        while True:
            yield 'abc'

    assert ours.to_json(['é'], 10) == '[\n  "é"\n]'
    for value in (['éé'], endless(), {'a': endless()}, 'x' * 20):
        with pytest.raises(ValueError, match='longer than 10 bytes'):
            ours.to_json(value, 10)
