"""The page of a report marks what differs."""

import re
from datetime import UTC, datetime

from offhook.cli.whatif.page import page_of
from offhook.cli.whatif.replay import Found, Replayed
from offhook.cli.whatif.report import Report
from offhook.cli.whatif.tally import Tally
from offhook.flow.whatif import Difference

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


def _marked(difference: Difference) -> list[str]:
    found = Found(
        session_id="s", position=1, stored_at=NOON, event="call.initiated", version="1",
        difference=difference,
    )  # fmt: skip
    tally = Tally()
    tally.count(Replayed(verdict="different", found=found, session_id="s"))
    page = page_of(
        Report(
            flow="flows:desk", name="desk", version="2", compared_with=None, history="a file",
            since=None, until=None, finished_at=NOON, took_s=1.0, tally=tally,
        )
    )  # fmt: skip
    return re.findall(r"<li class=new><code>(.*?)</code>", page)


def test_orders_in_another_place_are_marked() -> None:
    """Both sides have the same orders, so that none was."""
    recorded, now = ["answer", "record_start", "hangup"], ["record_start", "answer", "hangup"]
    marked = _marked(Difference(kind="reordered", what="", recorded=recorded, now=now))
    assert marked == ["answer", "record_start", "record_start", "answer"]


def test_an_order_that_only_moved_down_is_not_marked() -> None:
    recorded, now = ["answer", "hangup"], ["speak", "answer", "hangup"]
    assert _marked(Difference(kind="extra", what="", recorded=recorded, now=now)) == ["speak"]
