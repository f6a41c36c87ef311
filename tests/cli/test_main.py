"""The program itself."""

import subprocess
import sys

HEAVY = ("nats", "faststream", "sqlalchemy", "alembic", "fastapi", "starlette")


def test_a_command_loads_only_what_it_needs() -> None:
    """Else `offhook ingress` would hold the database's libraries in memory, and --help be slow."""
    assert loaded_by("offhook.cli.main", HEAVY) == "[]"


def test_a_role_that_checks_the_revision_loads_no_migrations() -> None:
    """They are 0.1 s of CPU at each start of a projector or an API."""
    assert loaded_by("offhook.projections.views.schema", ("alembic", "mako")) == "[]"


def loaded_by(module: str, of: tuple[str, ...]) -> str:
    code = f"import sys, {module}; print([m for m in {of!r} if m in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return loaded.stdout.strip()
