"""One request to the carrier, and what its answer means. No retry policy: that is the worker's.

    answer                              outcome    what a worker does
    2xx, whatever the body              Accepted   record the success
    422 with 90018, for a hangup        Accepted   record it: the leg had ended already
    any other 4xx (also 3xx)            Refused    record the failure; unauthorized: go red
    a 4xx that rejects a duplicate      Accepted   record it: see `outcome_of`
    429                                 Busy       wait `retry_after_s`, send the same again
    408, 5xx, time out, no connection   NoAnswer   back off, send the same again

Errors are told by status and code: the carrier uses 10007 and 10011 with several statuses.
Source: developers.telnyx.com `sending-commands`, `command-retries`, `rate-limiting`.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, assert_never
from urllib.parse import quote

import httpx
import msgspec

from offhook.errors import CarrierUnavailable, ParameterInvalid, SettingInvalid
from offhook.events import FailureReason, IssuedCommand
from offhook.telnyx.catalog import path_of

CONNECTIONS_MAX = 64
IDLE_CONNECTION_S = 30.0
# What is kept of an answer goes into the log, whose records have a bound of 256 KiB.
ANSWER_BYTES_MAX = 128 * 1024
ERRORS_MAX = 10
RETRY_AFTER_DEFAULT_S = 1.0
RETRY_AFTER_MIN_S = 0.1
RETRY_AFTER_MAX_S = 60.0
ACTIVE_CALLS_PAGE_SIZE = 250  # the carrier's own bound
ACTIVE_CALLS_PAGES_MAX = 400


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """The carrier has the command, or it was needless; `note` says so where it is not plain.

    `answer` is the carrier's whole body, empty if there was none to read: ids then come from the
    webhooks alone.
    """

    status: int
    answer: dict[str, Any] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Refused:
    """The carrier said no. Sending it again gives the same answer."""

    status: int
    reason: FailureReason
    detail: str
    errors: tuple[dict[str, Any], ...] = ()  # the carrier's own


@dataclass(frozen=True, kw_only=True)
class Busy:
    """Not now, and nothing was done: the identical command may go again after `retry_after_s`."""

    retry_after_s: float
    detail: str


@dataclass(frozen=True, kw_only=True)
class NoAnswer:
    """Nobody knows; the identical command may go again.

    `maybe_taken` is False where this try certainly had no effect (no connection was made, or the
    status was a refusal whose body got lost). From the first True on, further tries are `repeated`.
    """

    detail: str
    maybe_taken: bool = True


Outcome = Accepted | Refused | Busy | NoAnswer


def outcome_of(
    operation: str,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    repeated: bool = False,
) -> Outcome:
    """What an answer means. `headers` have lower-case names, or ignore case as httpx's do.

    `repeated` says that the carrier may have taken this `command_id` already: an earlier try ended
    in `NoAnswer(maybe_taken=True)`, or a worker that did not report back may have sent it. The
    documents say that a repeated `command_id` is ignored for 60 s, not how that is answered:

    - the first answer again: a 2xx with the ids; nothing special;
    - a 2xx without ids: accepted with what there is; the ids come from the webhooks;
    - a 4xx: it may reject the duplicate (so the first try was taken) or judge the command (so the
      first try never arrived, or got the same refusal). A refusal that the first try would have met
      as well is believed: 401, 403, 404, 405, a code that judges the account, the leg or a value,
      or an error that points at a parameter other than `command_id`. Anything else counts as
      accepted, with a note. For if that is wrong, the flow waits for a webhook that does not come
      and its timer takes over; believing "failed" wrongly would let it dial a second time.
      A repeated hangup or reject whose leg is gone (90018, 90015, 404) has done what it was for.
    """
    if 200 <= status < 300:
        return _accepted(status, body)
    errors = _errors_of(body)
    detail = _detail_of(status, errors)
    if status == 429:
        return Busy(retry_after_s=_retry_after_s(headers), detail=detail)
    if status >= 500 or status == 408:
        return NoAnswer(detail=detail)
    codes = frozenset(str(error.get("code")) for error in errors)
    if operation == "hangup" and status == 422 and CALL_ENDED in codes:
        return Accepted(status=status, note="already ended")
    if repeated and (note := _taken_before(operation, status, errors, codes)):
        return Accepted(status=status, note=f"{note} ({detail})")
    return Refused(status=status, reason=_reason_of(status, codes), detail=detail, errors=errors)


class Carrier:
    """The carrier's HTTP interface at `base_url` (…/v2), at most CONNECTIONS_MAX requests at once.

    `timeout_s` bounds a whole try, from waiting for a connection to the last byte of the answer.
    """

    def __init__(
        self,
        *,
        base_url: str,
        key: str,
        timeout_s: float,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        # Half of the time to get a connection: so "certainly not sent" can be told from a time out.
        connect_s = timeout_s / 2
        self._http = httpx.AsyncClient(
            base_url=base_url,
            headers={
                "authorization": f"Bearer {key}",
                "accept": "application/json",
                "user-agent": "offhook",
            },
            timeout=httpx.Timeout(timeout_s, connect=connect_s, pool=connect_s),
            limits=httpx.Limits(
                max_connections=CONNECTIONS_MAX,
                max_keepalive_connections=CONNECTIONS_MAX,
                keepalive_expiry=IDLE_CONNECTION_S,
            ),
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
        await self._http.aclose()

    async def send(self, command: IssuedCommand, *, repeated: bool = False) -> Outcome:
        """One try. `repeated`: the carrier may have taken this command before; see `outcome_of`."""
        body = {**command.parameters, "command_id": command.command_id}
        answer = await self._ask(
            "POST",
            path_of(command.operation, command.call_control_id),
            content=msgspec.json.encode(body),
        )
        if isinstance(answer, NoAnswer):
            return answer
        status, headers, body_bytes = answer
        if body_bytes is None and 400 <= status < 500 and status not in (408, 429):
            # The status alone does not tell which refusal it was, and asking again does no harm.
            detail = f"{status}, but the answer's body was lost"
            return NoAnswer(detail=detail, maybe_taken=False)
        return outcome_of(command.operation, status, headers, body_bytes or b"", repeated=repeated)

    async def retrieve_status(self, call_control_id: str) -> dict[str, Any] | None:
        """The carrier's JSON `{data: {is_alive, …}}`; None if it does not know the call (any more).

        It is readable for 10 minutes after the end. Raises CarrierUnavailable, ParameterInvalid, or
        SettingInvalid if the key is refused.
        """
        path = f"/calls/{quote(call_control_id, safe=':')}"
        outcome = await self._get("retrieve_status", path, {})
        if isinstance(outcome, Refused):
            codes = {str(error.get("code")) for error in outcome.errors}
            if outcome.status == 404 or codes & _LEG_GONE_CODES:
                return None
        return _answer_of(outcome, "retrieve_status", "call_control_id", call_control_id)

    async def list_active_calls(self, connection_id: str) -> AsyncIterator[dict[str, Any]]:
        """The connection's active calls as the carrier lists them, each once.

        Follows the documented cursors, or page numbers where the answer has those (the official SDK
        mixes the two up and never ends). A page that brings nothing new ends it in any case.
        Raises CarrierUnavailable, ParameterInvalid, or SettingInvalid if the key is refused.
        """
        operation, name = "list_active_calls", "connection_id"
        path = f"/connections/{quote(connection_id, safe='')}/active_calls"
        page = {"page[limit]": str(ACTIVE_CALLS_PAGE_SIZE)}
        seen: set[str] = set()
        for _ in range(ACTIVE_CALLS_PAGES_MAX):
            outcome = await self._get(operation, path, page)
            answer = _answer_of(outcome, operation, name, connection_id)
            calls = answer.get("data")
            fresh = {
                str(call.get("call_control_id")): call
                for call in (calls if isinstance(calls, list) else [])
                if isinstance(call, dict) and str(call.get("call_control_id")) not in seen
            }
            for call in fresh.values():
                yield call
            seen.update(fresh)
            following = _next_page(answer.get("meta"))
            if following is None or not fresh:
                return
            page = following
        raise CarrierUnavailable(
            f"{operation}: connection {connection_id} has more than {ACTIVE_CALLS_PAGES_MAX} pages"
        )

    async def _get(self, operation: str, path: str, query: Mapping[str, str]) -> Outcome:
        answer = await self._ask("GET", path, query=query)
        if isinstance(answer, NoAnswer):
            return answer
        status, headers, body = answer
        if body is None:
            return NoAnswer(detail=f"{status}, but the answer's body was lost")
        return outcome_of(operation, status, headers, body)

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        query: Mapping[str, str] | None = None,
    ) -> tuple[int, httpx.Headers, bytes | None] | NoAnswer:
        """Status, headers and body of one exchange; the body is None if it could not be read.

        From the first line on the carrier's mind is known, so a body that is cut off, or comes too
        late, does not make it "no answer".
        """
        response: httpx.Response | None = None
        body: bytes | None = None
        headers = {"content-type": "application/json"} if content is not None else None
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._http.stream(
                    method, path, content=content, params=query or None, headers=headers
                ) as response,
            ):
                body = await response.aread()
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return NoAnswer(detail=_words(error), maybe_taken=False)
        except httpx.UnsupportedProtocol:
            raise
        except (TimeoutError, httpx.TransportError, httpx.DecodingError) as error:
            if response is None:
                return NoAnswer(detail=_words(error))
        assert response is not None
        return response.status_code, response.headers, body


CALL_ENDED = "90018"

# The leg that the command is for is not there (any more).
_LEG_GONE_CODES = frozenset({CALL_ENDED, "90015"})

# Refusals that cannot follow from the same command having been taken before: they judge the
# account, the leg or a value, and the first try would have met them too. Not in the list because
# the first try itself may cause them: 10012 (duplicate), 10015 and 10027 (unspecific), 10036 (being
# processed), the channel limits 90041 to 90043 (the first dial may hold the channel).
_JUDGING_CODES = frozenset(
    {
        *("10001", "10002", "10003", "10004", "10005", "10006", "10009", "10010", "10016"),
        *("10022", "10023", "10024", "10025", "10026", "10028", "10029", "10032", "10033"),
        *("10038", "20001", "20002", "20003", "20006", "20008", "20012", "20013", "20014"),
        *("20015", "20016", "20017", "20100", "90015", "90017", "90018", "90028", "90029"),
        *("90034", "90057", "90102"),
    }
)
_JUDGING_STATUSES = frozenset({401, 403, 404, 405})


def _taken_before(
    operation: str, status: int, errors: tuple[dict[str, Any], ...], codes: frozenset[str]
) -> str:
    """Why a refusal of a repeated command counts as accepted; empty if it does not."""
    if status < 400 or status in (401, 403):
        return ""
    if operation in ("hangup", "reject") and (status == 404 or codes & _LEG_GONE_CODES):
        return "already ended"
    if any(_is_about_command_id(error) for error in errors):
        return "taken before: the carrier rejects the repeated command_id"
    points_elsewhere = any(_place_of(error) for error in errors)
    if status in _JUDGING_STATUSES or codes & _JUDGING_CODES or points_elsewhere:
        return ""
    return "taken before, as far as can be told: webhooks tell what happened"


def _is_about_command_id(error: Mapping[str, Any]) -> bool:
    if "command_id" in _place_of(error):
        return True
    words = f"{error.get('title', '')} {error.get('detail', '')}".lower()
    return "command_id" in words or "duplicate" in words


def _place_of(error: Mapping[str, Any]) -> str:
    """Where in the request the carrier sees the error: `/to`, `connection_id` …"""
    source = error.get("source")
    if not isinstance(source, dict):
        return ""
    return str(source.get("pointer") or source.get("parameter") or "").strip("/")


def _reason_of(status: int, codes: frozenset[str]) -> FailureReason:
    if status in (401, 403):
        return "unauthorized"
    return "call_ended" if status == 422 and CALL_ENDED in codes else "refused"


def _accepted(status: int, body: bytes) -> Accepted:
    if len(body) > ANSWER_BYTES_MAX:
        return Accepted(status=status, note=f"its answer of {len(body)} bytes was not kept")
    answer = _json_of(body)
    if not isinstance(answer, dict):
        # The status says that it was taken; sending it again could only do harm.
        return Accepted(status=status, note="its answer could not be read")
    return Accepted(status=status, answer=answer)


def _json_of(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _errors_of(body: bytes) -> tuple[dict[str, Any], ...]:
    document = _json_of(body) if len(body) <= ANSWER_BYTES_MAX else None
    errors = document.get("errors") if isinstance(document, dict) else None
    if not isinstance(errors, list):
        return ()
    return tuple(error for error in errors if isinstance(error, dict))[:ERRORS_MAX]


def _detail_of(status: int, errors: tuple[dict[str, Any], ...]) -> str:
    if not errors:
        return str(status)
    first = errors[0]
    words = [str(status), str(first.get("code", "")), str(first.get("title", ""))]
    detail = first.get("detail")
    return " ".join(word for word in words if word) + (f": {detail}" if detail else "")


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """The longer of the two headers' seconds, within bounds; a date or a word does not count."""
    waits = [
        wait
        for name in ("x-ratelimit-reset", "retry-after")
        if (wait := _seconds(headers.get(name))) is not None
    ]
    wait_s = max(waits, default=RETRY_AFTER_DEFAULT_S)
    return min(max(wait_s, RETRY_AFTER_MIN_S), RETRY_AFTER_MAX_S)


def _seconds(text: str | None) -> float | None:
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _answer_of(outcome: Outcome, operation: str, field_name: str, value: str) -> dict[str, Any]:
    """The JSON of a reading request, or the error that says why there is none."""
    match outcome:
        case Accepted(note=""):
            return outcome.answer
        case Accepted(status=status, note=note):
            raise CarrierUnavailable(f"{operation}: {status}, but {note}")
        case Refused(reason="unauthorized", detail=detail):
            raise SettingInvalid(f"the carrier's key was refused for {operation}: {detail}")
        case Refused(detail=detail):
            raise ParameterInvalid(
                operation, field_name, value, f"the carrier refuses it: {detail}"
            )
        case Busy(detail=detail) | NoAnswer(detail=detail):
            raise CarrierUnavailable(f"{operation}: {detail}")
        case _:
            assert_never(outcome)


def _next_page(meta: object) -> dict[str, str] | None:
    """The query for the page after the one with this `meta`; None after the last."""
    if not isinstance(meta, dict):
        return None
    cursors = meta.get("cursors")
    after = cursors.get("after") if isinstance(cursors, dict) else None
    if isinstance(after, str) and after:
        return {"page[limit]": str(ACTIVE_CALLS_PAGE_SIZE), "page[after]": after}
    number, total, size = (meta.get(name) for name in ("page_number", "total_pages", "page_size"))
    if isinstance(number, int) and isinstance(total, int) and number < total:
        same_size = {"page[size]": str(size)} if isinstance(size, int) else {}
        return {**same_size, "page[number]": str(number + 1)}
    return None


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
