"""Where the judge runs: in the sidecar, which nginx asks, or in nginx itself, by the module, which reads the sidecar's board."""

from __future__ import annotations

import pytest
from nginx_harness import without_module


@pytest.fixture(scope="module", params=["sidecar", pytest.param("module", marks=pytest.mark.servers)])
def host(request: pytest.FixtureRequest) -> str:
    """A test that has it runs on both. What it starts has a board where this is `module`."""
    if request.param == "module" and (why := without_module()):
        pytest.skip(why)
    return str(request.param)


@pytest.fixture
def asked(host: str) -> None:
    """Of a trap that only the question has; test_nginx_module.py shows that the module does not have it."""
    if host == "module":
        pytest.skip("the module does not have this trap")
