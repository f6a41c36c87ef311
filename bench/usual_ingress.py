"""What one would write by hand: FastAPI, the official SDK's `unwrap`, a row in Postgres.

Run by `bench.ingress`: `python -m bench.usual_ingress POSTGRES_URL PUBLIC_KEY`. The event id is
unique, so a repeated webhook is stored once here too.
"""

import sys
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request, Response
from sqlalchemy import JSON, BigInteger, DateTime, String
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from telnyx import AsyncTelnyx

from bench.load import PATH
from offhook.process import configure_logs, run_to_end, serve


class Base(DeclarativeBase):
    pass


class StoredEvent(Base):
    __tablename__ = "events"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    event_id: Mapped[str] = mapped_column(String, unique=True)
    event_type: Mapped[str] = mapped_column(String)
    received_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)


async def run(postgres_url: str, public_key: str) -> None:
    engine = create_async_engine(postgres_url, pool_size=20)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    await serve(_application(sessions, public_key), host="127.0.0.1", port=0)
    await engine.dispose()


def _application(sessions: async_sessionmaker[AsyncSession], public_key: str) -> FastAPI:
    app = FastAPI()
    client = AsyncTelnyx(api_key="unused", public_key=public_key)

    @app.post(PATH)
    async def receive(request: Request) -> Response:
        text = (await request.body()).decode()
        try:
            event: Any = client.webhooks.unwrap(text, headers=dict(request.headers))
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

    return app


if __name__ == "__main__":
    configure_logs("usual")
    run_to_end(run(*sys.argv[1:3]))
