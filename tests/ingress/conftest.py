"""What the tests of ingress share. Each file has its own `ingress`."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.ingress.stand import Ingress


@pytest.fixture
async def http(ingress: Ingress) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=ingress.url, trust_env=False, timeout=60) as client:
        yield client
