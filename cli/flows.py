"""The user's flows, loaded where a command needs them: what a module raises is told in a line."""

import traceback
from collections.abc import Sequence
from pathlib import Path

import offhook
from offhook.errors import SettingInvalid
from offhook.flow import Flow
from workers.app import flows_from


def loaded_flows(names: Sequence[str]) -> tuple[Flow, ...]:
    """The flows at `module:attribute`. Raises SettingInvalid naming the one that cannot be had."""
    for name in names:
        try:
            flows_from([name])
        except SettingInvalid:
            raise
        except (Exception, SystemExit) as error:  # whatever a module raises when it is loaded
            raise SettingInvalid(
                f"OFFHOOK_FLOWS has {name!r}, which cannot be loaded: "
                f"{type(error).__name__}: {error}{_place(error)}"
            ) from error
    return flows_from(names)


def _place(error: BaseException) -> str:
    """Where the user's own code raised, or called what raised."""
    if isinstance(error, SyntaxError):
        return ""  # its message has it
    frames = traceback.extract_tb(error.__traceback__)
    *_, last = (frame for frame in frames if not frame.filename.startswith((_OFFHOOK, "<")))
    return f" ({last.filename}, line {last.lineno})"


_OFFHOOK = str(Path(offhook.__file__).parent)
