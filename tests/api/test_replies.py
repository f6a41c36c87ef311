"""Replies are the JSON that FastAPI would have made of them, and are described as before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import httpx
from fastapi import APIRouter, FastAPI, Response
from fastapi.routing import APIRoute

from offhook.api.replies import ReplyRoute


@dataclass(frozen=True, kw_only=True)
class Line:
    at: datetime
    cost: Decimal | None
    ratio: float | None
    fields: Mapping[str, Any] | None
    is_last: bool = False


@dataclass(frozen=True, kw_only=True)
class Reply:
    data: Sequence[Line]
    meta: int | None


AT = datetime(2026, 11, 22, 10, tzinfo=UTC)
REPLY = Reply(
    data=[
        Line(at=AT, cost=Decimal("1.10"), ratio=0.1, fields={"a": [1, None, {"b": True}]}),
        Line(at=AT + timedelta(microseconds=120), cost=None, ratio=float("nan"), fields=None),
        Line(
            at=AT.astimezone(timezone(timedelta(hours=5, minutes=30))),
            cost=Decimal("1E-7"),
            ratio=1e22,
            fields={"long": 2**70, "text": '\u2028ü<"\x01😀', "at": AT, "pair": (1, 2)},
            is_last=True,
        ),
    ],
    meta=None,
)


def application(route_class: type[APIRoute]) -> FastAPI:
    router = APIRouter(route_class=route_class)

    @router.get("/reply")
    async def reply(limit: int = 3) -> Reply:
        """All of it."""
        return Reply(data=REPLY.data[:limit], meta=REPLY.meta)

    @router.get("/text", response_model=Reply)
    async def text() -> Any:
        return Response("a,b", media_type="text/csv")

    app = FastAPI()
    app.include_router(router)
    return app


async def test_a_reply_is_the_same_json_as_without() -> None:
    ours, theirs = application(ReplyRoute), application(APIRoute)
    assert ours.openapi() == theirs.openapi()
    found: list[Any] = []
    for app in (ours, theirs):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as http:
            for path in ("/reply", "/reply?limit=1", "/reply?limit=x", "/text"):
                response = await http.get(path)
                body = response.text if path == "/text" else response.json()
                found.append((path, response.status_code, response.headers["content-type"], body))
    assert found[: len(found) // 2] == found[len(found) // 2 :]
    assert len(found[0][3]["data"]) == len(REPLY.data)
