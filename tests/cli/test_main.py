"""The program itself."""

import subprocess
import sys

HEAVY = ("nats", "faststream", "sqlalchemy", "alembic", "fastapi", "starlette")


def test_a_command_loads_only_what_it_needs() -> None:
    """Else `offhook ingress` would hold the database's libraries in memory, and --help be slow."""
    code = f"import sys, offhook.cli.main; print([m for m in {HEAVY!r} if m in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert loaded.stdout.strip() == "[]"
