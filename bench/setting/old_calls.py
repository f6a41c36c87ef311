"""Calls of long ago, appended as an import of them does."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from bench.setting.records import call_records
from bench.setting.sender import Appends, Entry
from offhook.codec.facts import Encoded
from offhook.jetstream.message import imported_headers

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
"""When the first call of long ago began; the others follow it."""

CHUNK = 10_000


def chunks(first: int, until: int) -> Iterator[range]:
    for start in range(first, until, CHUNK):
        yield range(start, min(start + CHUNK, until))


async def send_calls(url: str, numbers: range, which: Sequence[int], began: datetime) -> None:
    """Append those records of each call, as an import of what was stored then."""
    appends = Appends(calls_at(numbers, which, began), imported_headers(1, began))
    await asyncio.to_thread(appends.send, url, float("inf"))


def calls_at(numbers: Iterable[int], which: Sequence[int], began: datetime) -> Iterator[Entry]:
    """Those records of each call, made from the records of one."""
    of_one = call_records(0)
    for number in numbers:
        at = began + timedelta(seconds=6 * number) if began is BEGAN else began
        changed = {
            "bench-0000000": f"bench-{number:07d}",
            "+12025550000": f"+1202555{number % 10_000:04d}",
            "2026-11-22T12:00": f"{at:%Y-%m-%dT%H:%M}",
            "2026-11-22T12:01": f"{at + timedelta(minutes=1):%Y-%m-%dT%H:%M}",
        }
        for session_id, side, encoded in (of_one[each] for each in which):
            body, fact_id = encoded.body, encoded.fact_id
            for old, new in changed.items():
                body, fact_id = body.replace(old.encode(), new.encode()), fact_id.replace(old, new)
            made = Encoded(type=encoded.type, version=encoded.version, fact_id=fact_id, body=body)
            yield changed[session_id], side, made
