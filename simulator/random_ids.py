"""Ids in the forms of the carrier's, drawn at random."""

from random import Random
from uuid import UUID

_OPAQUE_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


class RandomIds:
    """`source` decides the ids: a seeded one repeats them, `SystemRandom` never does."""

    def __init__(self, source: Random) -> None:
        self._source = source

    def uuid(self) -> str:
        """A UUID, as text."""
        return str(UUID(int=self._source.getrandbits(128), version=4))

    def call_control_id(self) -> str:
        """As long and as opaque as the carrier's: `v3:` and 54 letters."""
        return "v3:" + "".join(self._source.choices(_OPAQUE_LETTERS, k=54))

    def application_id(self) -> str:
        """19 digits."""
        return "".join(self._source.choices("123456789", k=19))
