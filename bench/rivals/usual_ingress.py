"""What is usually written by hand: FastAPI, the official SDK's `unwrap`, a row in Postgres.

Run by `bench.ingress` as users would run it: `uvicorn bench.rivals.usual_ingress:app`, with
DATABASE_URL and TELNYX_PUBLIC_KEY in the environment. The event id is unique, so a repeated webhook
is stored only once here too.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request, Response
from sqlalchemy import JSON, BigInteger, DateTime, String
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from telnyx import AsyncTelnyx


class Base(DeclarativeBase):
    pass


class StoredEvent(Base):
    __tablename__ = "events"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    event_id: Mapped[str] = mapped_column(String, unique=True)
    event_type: Mapped[str] = mapped_column(String)
    received_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)


engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=20)
sessions = async_sessionmaker(engine, expire_on_commit=False)
telnyx = AsyncTelnyx(api_key="unused", public_key=os.environ["TELNYX_PUBLIC_KEY"])


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.post("/webhooks/telnyx")
async def receive(request: Request) -> Response:
    text = (await request.body()).decode()
    try:
        event: Any = telnyx.webhooks.unwrap(text, headers=dict(request.headers))
    except ValueError:
        return Response(status_code=403)
    async with sessions() as session, session.begin():
        await session.execute(
            insert(StoredEvent)
            .values(
                event_id=event.data.id,
                event_type=event.data.event_type,
                received_at=datetime.now(UTC),
                payload=(await request.json())["data"]["payload"],
            )
            .on_conflict_do_nothing(index_elements=["event_id"])
        )
    return Response(status_code=200)
