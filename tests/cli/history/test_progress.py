"""How far a command is, where there is no terminal."""

import asyncio
from io import StringIO

import pytest
from rich.console import Console

from offhook.cli.history import progress


async def test_what_is_done_is_printed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PRINT_EVERY_S", 0)
    printed = StringIO()
    async with progress.showing(Console(file=printed)) as doing:
        for text in ("scanning table legs", "scanning table legs", "scanning [/x]"):
            doing(text)
            while text not in printed.getvalue():  # noqa: ASYNC110
                await asyncio.sleep(0)
    assert printed.getvalue() == "scanning table legs\nscanning [/x]\n"
