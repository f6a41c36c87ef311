"""`offhook analytics` at a running API."""

import asyncio
import csv
import io

import pytest

from tests.api.stack import ADMIN, FRIEND, OURS, READER, Stack, sdk_at, until
from tests.cli.terminal import Terminal


@pytest.fixture
def terminal(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Terminal:
    variables = {"OFFHOOK_API_URL": stack.api_url, "OFFHOOK_API_TOKEN": READER}
    monkeypatch.setenv("COLUMNS", "200")
    return Terminal(monkeypatch, capsys, variables)


async def dialled(stack: Stack) -> str:
    """The connection of a call that is in the views."""
    connection_id = await stack.connection()
    async with sdk_at(f"{stack.api_url}/v2", ADMIN) as telnyx:
        await telnyx.calls.dial(to=FRIEND, from_=OURS, connection_id=connection_id)

    async def counted() -> bool:
        async with stack.http(READER) as http:
            reply = await http.get("/analytics/load", params={"connection_id": connection_id})
        return bool(reply.json()["data"])

    await until(counted, "the call to be counted")
    return connection_id


def test_figures_as_tables_json_and_csv(stack: Stack, terminal: Terminal) -> None:
    connection_id = asyncio.run(dialled(stack))
    asked = ("--since", "1h", "--where", f"connection_id={connection_id}")
    printed = terminal("analytics", *asked)
    assert printed.status == 0, printed.errors
    assert "asr" in printed.output
    assert "answered / (answered + unanswered)" in printed.output
    printed = terminal("analytics", *asked, "--group-by", "direction")
    assert "outgoing" in printed.output
    assert "█" in printed.output
    printed = terminal("analytics", "load", *asked, "--json")
    (group,) = printed.json["data"]
    assert group["calls"] == 1
    printed = terminal("analytics", "commands", "--group-by", "hour,operation", "--csv")
    rows = [*csv.DictReader(io.StringIO(printed.output))]
    assert "dial" in {row["operation"] for row in rows}


def test_what_is_refused_is_explained(terminal: Terminal) -> None:
    printed = terminal("analytics", "--group-by", "colour")
    assert printed.status == 1
    assert "group_by is 'colour'" in printed.errors
    assert terminal("analytics", "--json", "--csv").status == 2
    assert terminal("analytics", "--where", "flow").status == 2
    assert terminal("analytics", "--since", "yesterday").status == 2
