"""What the tests of the package share."""

import os

import pytest

# All of them on both backends. Else those of the sandbox itself are, and what stands on it runs on asyncio's alone.
LONG = os.environ.get('LONG') == '1'
ON_BOTH = 'test_code_sandbox.py'


@pytest.fixture(params=['asyncio', 'trio'])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The backend of every async test."""
    name: str = request.param
    return name


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out, uncounted, what only the long form has."""
    if LONG:
        return
    long = [item for item in items if '[trio' in item.name and item.path.name != ON_BOTH]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]
