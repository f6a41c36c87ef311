"""The views: whether Postgres is there, its clock, and the revision of its schema."""

from offhook.cli.doctor.finding import Findings, Now, clock, good, wrong
from offhook.errors import OperatorFault, SettingInvalid, words_of
from offhook.projections.views.database.engine import open_database, read_server
from offhook.projections.views.database.errors import DATABASE_ERRORS
from offhook.projections.views.schema.migrate import REVISION, revision
from offhook.settings import Settings

SKEW_MAX_S = 1.0
"""As for the log: times of both are shown side by side."""


async def examine_views(settings: Settings, now: Now) -> Findings:
    """The connection, the server's clock, the schema."""
    see = "start it, or see OFFHOOK_POSTGRES_URL"
    try:
        engine = open_database(settings.postgres_url, "offhook-doctor")
    except SettingInvalid as error:
        yield wrong("views", "Postgres", str(error), "set OFFHOOK_POSTGRES_URL to postgresql://…")
        return
    try:
        async with engine.connect() as connection:
            asked_at = now()
            server = await read_server(connection)
            answered_at = now()
        yield good("views", "Postgres", f"version {server.version}")
        yield clock(
            "views",
            asked_at=asked_at,
            theirs=server.time,
            answered_at=answered_at,
            skew_max_s=SKEW_MAX_S,
            because="times of the log and of the views are shown side by side",
        )
        found = await revision(settings.postgres_url)
    except OperatorFault as error:
        yield wrong("views", "Postgres", str(error), "see docs/deploy.md, Connection poolers")
        return
    except DATABASE_ERRORS as error:
        words = words_of(getattr(error, "orig", None) or error)
        yield wrong("views", "Postgres", f"it does not answer: {words.splitlines()[0]}", see)
        return
    finally:
        await engine.dispose()
    if found == REVISION:
        yield good("views", "revision", f"{found}, the newest")
    elif found is not None and found > REVISION:
        newer = f"{found}, of a newer Offhook than this one, which needs {REVISION}"
        yield wrong("views", "revision", newer, "install the version of Offhook that the roles run")
    else:
        older = f"{found or 'none'}; this Offhook needs {REVISION}"
        yield wrong("views", "revision", older, "offhook migrate")
