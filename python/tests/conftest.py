"""What the tests of the package share."""

import pytest


@pytest.fixture(params=['asyncio', 'trio'])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Every async test runs on both."""
    name: str = request.param
    return name
