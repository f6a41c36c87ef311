"""What the tests of the doctor share: keys, addresses, and one run of the checks."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from nacl.signing import SigningKey

from offhook.cli.doctor import work
from offhook.cli.doctor.finding import Finding
from offhook.cli.doctor.run import Roles, examine
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.stream import (
    STREAM,
)
from offhook.settings import Settings
from offhook.telnyx.signature import public_key_text
from tests.cli.carrier import WEBHOOKS

SIGNING_KEY = SigningKey(b"\x01" * 32)
PUBLIC_KEY = public_key_text(SIGNING_KEY)
NOBODY = "http://127.0.0.1:1"
NO_ROLES = Roles()
PATIENCE_S = 60.0
NOBODY_REPORTS_S = 0.1
"""Long enough to listen where there is no worker."""


def look(
    settings: Settings,
    *,
    webhook_url: str = WEBHOOKS,
    roles: Roles = NO_ROLES,
    ahead_s: float = 0.0,
    listen_s: float = PATIENCE_S,
) -> dict[tuple[str, str], Finding]:
    """The findings by place and check, by a clock that is ahead. `listen_s`: for a worker."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(work, "LISTEN_S", listen_s)
        found = asyncio.run(
            examine(
                settings,
                webhook_url=webhook_url,
                roles=roles,
                now=lambda: datetime.now(UTC) + timedelta(seconds=ahead_s),
                place_timeout_s=PATIENCE_S,
            )
        )
    return {(each.place, each.check): each for each in found}


def only_wrong(found: dict[tuple[str, str], Finding]) -> Finding:
    """The one thing that is wrong."""
    wrong = [each for each in found.values() if each.state == "wrong"]
    assert len(wrong) == 1, wrong
    return wrong[0]


async def purged(url: str) -> None:
    """Nobody settles or projects here."""
    client = await connect(url, "test")
    await client.jetstream().purge_stream(STREAM)
    await close(client)
