"""Work that runs side by side ends together."""

import asyncio

import pytest

from offhook.process.serve import first_of


async def test_the_error_is_raised_once_everything_else_has_ended() -> None:
    ended = []

    async def runs() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)  # it is closing what it used
            ended.append(True)

    async def fails() -> None:
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        await first_of(runs(), fails())
    assert ended
