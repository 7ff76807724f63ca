"""What the tests of guides behind an endpoint share."""

import pytest
from tests.guide.endpoint_server import running


@pytest.fixture
def server():
    """An endpoint on this machine."""
    with running() as server:
        yield server
