"""Which session a leg belongs to, and its state; even right after this process placed the leg."""

from collections.abc import Mapping
from typing import Any

from offhook.api.errors import refusal
from offhook.api.freshness import Views
from offhook.errors import shown
from offhook.events import session_id_from
from offhook.projections.views.legs import LegView, read_leg
from offhook.recent import RecentDict
from offhook.session.placed import session_of_answer

PLACED_MAX = 10_000
"""Legs that are remembered; the views have older ones."""


class Legs:
    """Legs by call_control_id, from the views or from the answers that this process has given."""

    def __init__(self, views: Views) -> None:
        self._views = views
        self._placed = RecentDict[str, str](PLACED_MAX)  # call_control_id -> session_id

    def remember_placed(self, answer: Mapping[str, Any]) -> None:
        """Remember the leg in the carrier's answer to a dial: the views have it a little later."""
        data = answer.get("data")
        leg = data.get("call_control_id") if isinstance(data, Mapping) else None
        session_id = session_of_answer(answer)
        if isinstance(leg, str) and leg and session_id is not None:
            self._placed[leg] = session_id

    async def session_of(self, call_control_id: str) -> str:
        """The leg's session. An unknown leg gets one of its own: the carrier says what it is."""
        if (placed := self._placed.get(call_control_id)) is not None:
            return placed
        leg, _ = await self._find(call_control_id)
        return leg.session_id if leg is not None else session_id_from(call_control_id)

    async def read(self, call_control_id: str) -> LegView | None:
        """The leg as the views have it, once they have what the log has now; None if unknown.

        Raises ErrorAnswer 503 if the views are too far behind to say.
        """
        leg, is_certain = await self._find(call_control_id)
        if leg is None and not is_certain:
            which = shown(call_control_id)
            detail = f"It is unknown whether there is a call {which}: the views are behind"
            raise refusal(503, "10007", detail)
        return leg

    async def _find(self, call_control_id: str) -> tuple[LegView | None, bool]:
        """The leg; and if there is none, whether that is certain."""
        if (leg := await self._from_views(call_control_id)) is not None:
            return leg, True
        is_certain = await self._views.catch_up()
        return await self._from_views(call_control_id), is_certain

    async def _from_views(self, call_control_id: str) -> LegView | None:
        async with self._views.connection() as connection:
            return await read_leg(connection, call_control_id)
