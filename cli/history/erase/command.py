"""The command `offhook erase`: all records of sessions or numbers, wherever they are."""

from typing import Any

from offhook.cli.history.erase.options import ErasureOptions
from offhook.cli.options import (
    ReadyFile,
    console,
    keyword_options,
    settings_of_command,
    with_options,
)


@with_options(keyword_options(ErasureOptions))
def erase(*, ready_file: ReadyFile = None, **wanted: Any) -> None:
    """Erase sessions from the streams, the archive and the views.

    Analytics stay as they are. The exit status is 2 if the proof finds anything left.
    """
    from offhook.cli.history.erase.run import run_erase

    if not run_erase(console, settings_of_command(ready_file), ErasureOptions(**wanted)):
        raise SystemExit(2)
