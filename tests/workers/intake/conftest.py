"""Fixtures of several files."""

import asyncio

import pytest

from offhook.workers.intake import dispatcher as module


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause between two raises."""

    async def pause(seconds: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(module, "_pause", pause)
