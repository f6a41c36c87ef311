"""What leaves the log may have left it before, wherever it was in its stream."""

from offhook.cli.embedded.nats_server import NatsServer
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.provisioning.provision import provision
from offhook.jetstream.retention import Retention
from tests.projections.story import call


async def test_deleting_again_finds_nothing_to_delete() -> None:
    with NatsServer() as server:
        client = await connect(server.url, "test")
        await provision(client, [server.monitor_url], partitions=1)
        log, retention = JetStreamLog(client), Retention(client)
        for entry in call("s1"):
            await log.append("s1", entry.side, entry.encoded)
        positions = [each.seq for each in await retention.read("s1")]
        first, middle, last = min(positions), sorted(positions)[5], max(positions)
        assert await retention.delete([first, middle, last]) == 3
        assert await retention.delete([first, middle, last, last + 100]) == 0
        assert await retention.delete(positions) == len(positions) - 3
        assert await retention.delete(positions) == 0
        await close(client)
