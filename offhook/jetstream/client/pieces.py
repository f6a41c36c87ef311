"""Receive much at once in pieces, between which other tasks of the process run.

nats-py takes all that has arrived before anything else runs: 5 ms for the records of a long call.
"""

from nats.aio.client import Client

from offhook.process.slices import Slices

PIECE_BYTES = 8 * 1024
"""Some 15 records, which take 0.15 ms."""


def receive_in_pieces(client: Client) -> None:
    """Have the client take what it receives in pieces."""
    parse = client._ps.parse

    async def parse_in_pieces(data: bytes = b"") -> None:
        slices = Slices()
        await parse(data[:PIECE_BYTES])
        for start in range(PIECE_BYTES, len(data), PIECE_BYTES):
            await slices.yield_if_due()
            await parse(data[start : start + PIECE_BYTES])

    client._ps.parse = parse_in_pieces  # type: ignore[method-assign]
