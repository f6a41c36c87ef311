"""What `offhook up` says of the migrations that it applies."""

from typing import Any

import pytest

from offhook.cli.embedded import prepare as module
from offhook.projections.views.schema.migrate import Migrating
from offhook.settings import Settings


def test_each_revision_is_named_once_and_a_warning_is_called_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def migrate(settings: Settings, *, report: Any, warn: Any) -> None:
        warn("the projector old-1 is running")
        for at in (
            Migrating(revision="0027", title="Histograms"),
            Migrating(revision="0027", title="Histograms", part=0, parts=2),
            Migrating(revision="0028", title="Indexes"),
        ):
            report(at)

    async def provision(settings: Settings, **_: Any) -> int:
        return 1

    monkeypatch.setattr(module, "migrate_database", migrate)
    monkeypatch.setattr(module, "provision_log", provision)
    said: list[str] = []
    module.prepare(Settings(), say=said.append)
    assert said == [
        "warning: the projector old-1 is running",
        "database: 0027: Histograms",
        "database: 0028: Indexes",
    ]
