"""What the tests of the doctor share: keys, addresses, and one run of the checks."""

import asyncio
from datetime import UTC, datetime, timedelta

from nacl.signing import SigningKey

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


def look(
    settings: Settings,
    *,
    webhook_url: str = WEBHOOKS,
    roles: Roles = NO_ROLES,
    ahead_s: float = 0.0,
    place_timeout_s: float = 60.0,
) -> dict[tuple[str, str], Finding]:
    """The findings by place and check, by a clock that is ahead."""
    found = asyncio.run(
        examine(
            settings,
            webhook_url=webhook_url,
            roles=roles,
            now=lambda: datetime.now(UTC) + timedelta(seconds=ahead_s),
            place_timeout_s=place_timeout_s,
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
