"""What a role logs about the state of the log."""

import logging
from typing import cast

import pytest
from nats.aio.client import Client

from offhook.errors import LogUnavailable
from offhook.jetstream.health.log_health import LogHealth


class _Connection:
    is_draining = False
    is_closed = False


class _Unanswered(LogHealth):
    """It is checked twice."""

    checks = 0

    async def trouble(self) -> str:
        self.checks += 1
        self.appends.doubt.set()
        if self.checks > 2:
            raise LogUnavailable("enough")
        return "JetStream does not answer"


@pytest.mark.parametrize(("closing", "logged"), [("", 1), ("is_draining", 0), ("is_closed", 0)])
async def test_a_connection_that_the_role_closes_is_no_trouble_of_the_log(
    closing: str, logged: int, caplog: pytest.LogCaptureFixture
) -> None:
    connection = _Connection()
    if closing:
        setattr(connection, closing, True)
    health = _Unanswered(cast(Client, connection), [])
    with caplog.at_level(logging.INFO), pytest.raises(LogUnavailable, match="enough"):
        await health.watch()
    assert caplog.text.count("the log's state has changed") == logged
