"""Pages of active calls, while calls begin and end."""

import secrets
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from offhook.api.telnyx.paging import PageRequest, meta_of
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.projections.views.database.engine import open_database
from offhook.projections.views.live import active_legs
from offhook.projections.views.live.active_legs import LegPage, list_active_legs, read_active_page


async def test_a_leg_that_ends_while_a_page_is_read_cuts_no_later_page_off(
    postgres_server: PostgresServer, migrated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres_server.create_database(f"api_{secrets.token_hex(4)}", template=migrated)
    engine = open_database(url)
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "insert into legs (call_control_id, session_id, connection_id, state, up_until,"
                " last_seq)"
                " select 'v3:' || n, 's', '1', 'initiated', now() + interval '1 hour', n"
                " from generate_series(0, 4) as n"
            )
        )

    async def after_an_end(*given: Any, **more: Any) -> LegPage:
        async with engine.begin() as other:
            await other.execute(
                text("update legs set ended_at = now() where call_control_id = 'v3:0'")
            )
        return await list_active_legs(*given, **more)

    monkeypatch.setattr(active_legs, "list_active_legs", after_an_end)
    wanted = PageRequest(size=2, after="v3:1")
    async with engine.connect() as connection:
        page, start = await read_active_page(
            connection, "1", now=datetime.now(UTC), size=wanted.size, after=wanted.after
        )
    await engine.dispose()
    assert [leg.call_control_id for leg in page.legs] == ["v3:2", "v3:3"]
    assert "next" in meta_of(page, wanted, start, "/calls")
