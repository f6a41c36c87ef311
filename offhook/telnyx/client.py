"""One command to the carrier over HTTP. What the answer means is decided by `outcomes`."""

from types import TracebackType
from typing import Self

import httpx
import msgspec

from offhook.commands.catalog import method_of, path_of, takes_command_id
from offhook.events import IssuedCommand
from offhook.telnyx.http import JSON_BODY, NoHttpAnswer, TelnyxHttp, require_header_value
from offhook.telnyx.outcomes import NoAnswer, Outcome, outcome_of

CONNECTIONS_MAX = 64


class Carrier:
    """Sends commands to the carrier at `base_url` (…/v2), at most CONNECTIONS_MAX at once.

    `timeout_s` bounds a whole attempt. Raises SettingInvalid for a key or an address that no
    request can have.
    """

    def __init__(
        self,
        *,
        base_url: str,
        key: str,
        timeout_s: float,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        require_header_value(key, "OFFHOOK_CARRIER_KEY")
        self._http = TelnyxHttp(
            base_url=base_url,
            key=key,
            timeout_s=timeout_s,
            connections_max=CONNECTIONS_MAX,
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections; requests under way are finished first."""
        await self._http.aclose()

    async def send(self, command: IssuedCommand, *, repeated: bool = False) -> Outcome:
        """Send once. `repeated`: the carrier may have taken this command before; see `outcome_of`.

        Raises ParameterInvalid if the command's leg cannot be part of a path.
        """
        body = dict(command.parameters)
        if takes_command_id(command.operation):
            body["command_id"] = command.command_id
        answer = await self._http.request(
            method_of(command.operation),
            path_of(command.operation, command.call_control_id),
            content=msgspec.json.encode(body),
            headers=JSON_BODY,
        )
        if isinstance(answer, NoHttpAnswer):
            return NoAnswer(detail=answer.detail, maybe_taken=answer.maybe_taken)
        status = answer.status
        if answer.body is None and 400 <= status < 500 and status not in (408, 429):
            # The status alone does not say which refusal it was, and sending again does no harm.
            detail = f"{status}, but the answer's body was lost"
            return NoAnswer(detail=detail, maybe_taken=False)
        return outcome_of(
            command.operation, status, answer.headers, answer.body or b"", repeated=repeated
        )
