"""Workers in processes of their own, with what makes them late or their consumer go."""

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import Any

from nats.aio.client import Client

from offhook.errors import OffhookError
from offhook.jetstream.provisioning.provision import require_provisioned
from offhook.jetstream.roles import role
from offhook.process.logs import configure_logs
from offhook.settings import settings_from
from offhook.workers.app import run
from offhook.workers.intake.consumer import PullSubscription

WATCH_S = 0.3


def run_worker() -> None:
    """In the new process."""
    configure_logs("worker")
    try:
        asyncio.run(run(settings_from(os.environ), watch_s=WATCH_S))
    except OffhookError as error:
        sys.exit(f"offhook: {error}")


def run_late_worker() -> None:
    """The same, to which messages come late."""
    fetched = PullSubscription.fetch

    async def then_dawdle(self: PullSubscription, *args: Any, **more: Any) -> Any:
        messages = await fetched(self, *args, **more)
        if messages:
            print("fetched", flush=True)  # noqa: T201
            await asyncio.sleep(0.5)  # as on the way from the server
        return messages

    PullSubscription.fetch = then_dawdle  # type: ignore[method-assign]
    run_worker()


def run_worker_of_a_deleted_consumer() -> None:
    """In the new process: its consumer is deleted while it starts."""

    async def then_deleted(client: Client, monitor_urls: Sequence[str], consumer: str) -> int:
        partitions = await require_provisioned(client, monitor_urls, consumer)
        await client.jetstream().delete_consumer("CALLS_2", consumer)
        return partitions

    vars(role)["require_provisioned"] = then_deleted
    run_worker()
