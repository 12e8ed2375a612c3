"""Fixtures and options that the package's tests share."""

import os

import pytest

# With LONG=1, all tests run on both backends; otherwise only those of the sandbox itself do, and the others on asyncio.
LONG = os.environ.get('LONG') == '1'
ON_BOTH = 'test_code_sandbox.py'


@pytest.fixture(params=['asyncio', 'trio'])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The backend of every async test."""
    name: str = request.param
    return name


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects the tests that run only with LONG=1."""
    if LONG:
        return
    long = [item for item in items if '[trio' in item.name and item.path.name != ON_BOTH]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]
