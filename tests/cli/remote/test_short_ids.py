"""Sessions and legs that are named by the start of their id."""

from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from offhook.cli.remote.exchange import RemoteServer
from offhook.cli.remote.short_ids import CANDIDATES_MAX, session_starting, whole_leg
from offhook.errors import OperatorFault
from tests.cli.calls.test_lines import session

IDS = ("8f3a-1", "8f3b-1", "8f3b-2", *(f"many-{number}" for number in range(11)))
DIAL = "8f3c-dial"
"""A session without legs, which is not among the calls."""


class Api:
    """An API with sessions of these ids, each with one leg of its name."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        query = request.url.params
        if request.url.path != "/sessions":
            leg = request.url.path.rpartition("/")[2]
            is_there = leg.removeprefix("v3:leg-") in IDS
            return httpx.Response(200 if is_there else 422, json={"errors": [], "data": {}})
        ids = [DIAL] if query.get("status") == "empty" else IDS
        wanted, prefix = query.get("session_id"), ""
        if wanted is None:
            wanted, prefix = query["call_control_id"], "v3:leg-"
            assert query["any_leg"] == "true"
        start = wanted.removesuffix("*")
        found = [each for each in ids if f"{prefix}{each}".startswith(start)]
        rows = [_row(each) for each in found[: int(query["limit"])]]
        return httpx.Response(200, json={"data": rows, "meta": {}})


def _row(session_id: str) -> Mapping[str, Any]:
    leg = session(call_control_id=f"v3:leg-{session_id}", state="ended", bridged_at=None)
    return session(session_id=session_id, failed=False, legs=[leg])


@pytest.fixture
def served() -> Api:
    return Api()


@pytest.fixture
def api(served: Api) -> Iterator[RemoteServer]:
    transport = httpx.MockTransport(served)
    with RemoteServer(
        name="the API", url="http://api", token="t", timeout_s=5, see="", transport=transport
    ) as api:
        yield api


def test_a_session_is_named_by_the_start_of_its_id(api: RemoteServer) -> None:
    assert session_starting(api, "8f3a") == "8f3a-1"
    assert session_starting(api, "8f3c") == DIAL
    assert session_starting(api, "9") is None


def test_no_pattern_is_made_of_what_is_no_start(api: RemoteServer, served: Api) -> None:
    for text in ("8f*", "8f3a,8f3b", "!8f", ""):
        assert session_starting(api, text) is None
    assert served.asked == []


def test_several_sessions_that_start_so_are_listed(api: RemoteServer) -> None:
    with pytest.raises(OperatorFault) as raised:
        session_starting(api, "8f3b")
    first, *lines = str(raised.value).splitlines()
    assert first == "2 sessions have an id that starts with 8f3b; give more of it:"
    assert [line.split()[0] for line in lines] == ["8f3b-1", "8f3b-2"]
    about = "  2026-11-22 09:00:00  not answered  +12025550101 → +12025550102"
    assert all(line.endswith(about) for line in lines)
    with pytest.raises(OperatorFault, match="more than 10 sessions have an id") as raised:
        session_starting(api, "many")
    assert len(str(raised.value).splitlines()) == 1 + CANDIDATES_MAX


def test_a_leg_is_named_by_the_start_of_its_id(api: RemoteServer) -> None:
    assert whole_leg(api, "v3:leg-8f3a") == "v3:leg-8f3a-1"
    with pytest.raises(OperatorFault, match="2 legs have an id that starts with v3:leg-8f3b;"):
        whole_leg(api, "v3:leg-8f3b")


def test_a_leg_that_is_not_known_is_left_as_it_is(api: RemoteServer, served: Api) -> None:
    assert whole_leg(api, "v3:leg-8f3b-1") == "v3:leg-8f3b-1"
    with pytest.raises(OperatorFault, match="v3:leg- is too short"):
        whole_leg(api, "v3:leg-")
    assert served.asked == ["/v2/calls/v3:leg-8f3b-1"]
    assert whole_leg(api, "v3:nobody") == "v3:nobody"


def test_of_a_whole_leg_nothing_is_asked(api: RemoteServer, served: Api) -> None:
    leg = "v3:MdI91X4lWFEs7IgbBEOT9M4AigoY08M0WWZFISt1Yw2axZ_IiE4pqg"
    for text in (leg, "leg-a"):
        assert whole_leg(api, text) == text
    assert served.asked == []
