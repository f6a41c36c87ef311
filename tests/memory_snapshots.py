"""The stand-in for the stream of snapshots: a dict."""

from offhook.errors import LogUnavailable


class MemorySnapshots:
    """`is_away`: it answers nobody."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.deleted: set[str] = set()
        self.is_away = False

    async def read(self, session_id: str) -> bytes | None:
        self._require_answer()
        return self.bodies.get(session_id)

    async def write(self, session_id: str, body: bytes) -> bool:
        self._require_answer()
        if session_id in self.deleted:
            return False
        self.bodies[session_id] = body
        return True

    def delete(self, session_id: str) -> None:
        """As an erasure does."""
        self.bodies.pop(session_id, None)
        self.deleted.add(session_id)

    def _require_answer(self) -> None:
        if self.is_away:
            raise LogUnavailable("the stream of snapshots is away")
